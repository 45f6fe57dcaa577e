package pgxsecret

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"lockstep"
)

// credential is a secret value in the JSON form of AWS's rotation functions.
// What is not there is left as the Config has it.
type credential struct {
	Host     string `json:"host"`
	Port     port   `json:"port"`
	Database string `json:"dbname"`
	User     string `json:"username"`
	Password string `json:"password"` // #nosec G117 -- read, never written
	SSLMode  string `json:"sslmode"`
}

// port is a number, or a number in quotes.
type port uint16

// UnmarshalJSON reads both forms.
func (p *port) UnmarshalJSON(b []byte) error {
	text := string(b)
	if s, err := strconv.Unquote(text); err == nil {
		text = s
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("port is not a number from 0 to 65535: %w", lockstep.ErrInvalid)
	}
	*p = port(n)
	return nil
}

// parseCredential reads a value. Errors: ErrInvalid; nothing of the value is
// repeated in it.
func parseCredential(v lockstep.Value) (credential, error) {
	var c credential
	if err := json.Unmarshal(v.Bytes(), &c); err != nil {
		return credential{}, fmt.Errorf("the secret's value is not a JSON object with host, port, dbname, username and password: %w", lockstep.ErrInvalid)
	}
	if c.User == "" || c.Password == "" {
		return credential{}, fmt.Errorf("the secret's value lacks username or password: %w", lockstep.ErrInvalid)
	}
	return c, nil
}

// apply puts the credential into a Config, fallbacks included.
func (c credential) apply(cfg *pgconn.Config) {
	cfg.User, cfg.Password = c.User, c.Password
	if c.Database != "" {
		cfg.Database = c.Database
	}
	was := cfg.Host
	if c.Host != "" {
		cfg.Host = c.Host
	}
	if c.Port != 0 {
		cfg.Port = uint16(c.Port)
	}
	if cfg.TLSConfig != nil && cfg.TLSConfig.ServerName == was {
		cfg.TLSConfig = cfg.TLSConfig.Clone()
		cfg.TLSConfig.ServerName = cfg.Host
	}
	fallbacks := make([]*pgconn.FallbackConfig, 0, len(cfg.Fallbacks))
	for _, f := range cfg.Fallbacks {
		moved := *f
		if f.Host == was {
			moved.Host, moved.Port = cfg.Host, cfg.Port
		}
		if moved.TLSConfig != nil && moved.TLSConfig.ServerName == was {
			moved.TLSConfig = moved.TLSConfig.Clone()
			moved.TLSConfig.ServerName = cfg.Host
		}
		fallbacks = append(fallbacks, &moved)
	}
	cfg.Fallbacks = fallbacks
}
