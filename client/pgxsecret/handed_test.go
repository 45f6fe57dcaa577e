package pgxsecret

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
)

func TestCredential(t *testing.T) {
	c, err := parseCredential(lockstep.StringValue(`{"host":"db","port":"6543","username":"u","password":"p","dbname":"d","engine":"postgres"}`))
	if err != nil || c != (credential{Host: "db", Port: 6543, User: "u", Password: "p", Database: "d"}) {
		t.Errorf("got %+v, %v", c.Host, err)
	}
	for _, bad := range []string{"", "hunter2", `{"username":"hunter2"}`, `{"password":"hunter2"}`, `{"username":"u","password":"hunter2","port":"hunter2"}`, `{"username":"u","password":"hunter2","port":-1}`, "[]"} {
		_, err := parseCredential(lockstep.StringValue(bad))
		if !errors.Is(err, lockstep.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestApplyMovesTLSAndFallbacks(t *testing.T) {
	cfg, err := pgconn.ParseConfig("host=old,other port=1,2 sslmode=verify-full user=x password=y dbname=z")
	if err != nil {
		t.Fatal(err)
	}
	credential{Host: "new", Port: 7, User: "u", Password: "p"}.apply(cfg)
	f := cfg.Fallbacks[0]
	if cfg.Host != "new" || cfg.Port != 7 || cfg.User != "u" || cfg.Database != "z" || cfg.TLSConfig.ServerName != "new" ||
		f.Host != "other" || f.Port != 2 || f.TLSConfig.ServerName != "other" {
		t.Errorf("got %s:%d %s, fallback %s:%d", cfg.Host, cfg.Port, cfg.TLSConfig.ServerName, f.Host, f.Port)
	}
}

func FuzzCredential(f *testing.F) {
	f.Add(`{"username":"u","password":"p","port":5432}`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCredential(lockstep.StringValue(s))
		if err == nil && (c.User == "" || c.Password == "") {
			t.Error("accepted without user or password")
		}
	})
}
