package servertest

import (
	"encoding/json"
	"testing"
)

// Login is the value of a database credential's secret, as AWS shapes it.
type Login struct {
	Engine    string `json:"engine"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	DBName    string `json:"dbname"`
	Username  string `json:"username"`
	Password  string `json:"password"`
	MasterARN string `json:"masterarn,omitempty"`
}

// JSON is the value's text.
func (l Login) JSON(t testing.TB) string {
	t.Helper()
	raw, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
