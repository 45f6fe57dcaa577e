package providertest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The one app that there is, and its one installation.
const (
	GitHubApp          = "12345"
	GitHubInstallation = "678"
)

// AppKey is a GitHub App's private key.
type AppKey struct{ key *rsa.PrivateKey }

// NewAppKey draws one.
func NewAppKey(t testing.TB) AppKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return AppKey{key}
}

// PEM is the key as GitHub hands it out.
func (a AppKey) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.key)}))
}

// GitHub issues installation tokens of an app (GitHub's REST API of 2022-11-28).
func GitHub(app AppKey) Provider {
	return Provider{Prefix: "ghs_", serve: func(mux *http.ServeMux, k *Keyring) {
		mux.HandleFunc("POST /app/installations/{id}/access_tokens", func(w http.ResponseWriter, r *http.Request) {
			switch problem := app.check(bearer(r)); {
			case r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
				answer(w, 400, `{"message":"Unsupported version"}`)
			case problem != "":
				answer(w, 401, `{"message":%q,"status":"401"}`, problem)
			case r.PathValue("id") != GitHubInstallation:
				answer(w, 404, `{"message":"Not Found","status":"404"}`)
			default:
				gitHubCreate(w, r, k)
			}
		})
		mux.HandleFunc("GET /installation/repositories", func(w http.ResponseWriter, r *http.Request) {
			if k.use(bearer(r)) == nil {
				answer(w, 401, `{"message":"Bad credentials","status":"401"}`)
				return
			}
			answer(w, 200, `{"total_count":1,"repositories":[{"id":1,"name":"shop"}]}`)
		})
		mux.HandleFunc("DELETE /installation/token", func(w http.ResponseWriter, r *http.Request) {
			key := k.use(bearer(r))
			if key == nil || !k.Revoke(key.ID) {
				answer(w, 401, `{"message":"Bad credentials","status":"401"}`)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}}
}

func gitHubCreate(w http.ResponseWriter, r *http.Request, k *Keyring) {
	var in struct {
		Permissions  map[string]string `json:"permissions"`
		Repositories []string          `json:"repositories"`
	}
	if !body(w, r, &in) {
		return
	}
	if in.Permissions["administration"] != "" {
		answer(w, 422, `{"message":"The permissions requested are not granted to this installation.","status":"422"}`)
		return
	}
	key := k.Issue("ghs_", "")
	answer(w, 201, `{"token":%q,"expires_at":%q,"permissions":{"contents":"read"},"repository_selection":"all"}`,
		key.Value, key.Day.Add(time.Hour).UTC().Format(time.RFC3339))
}

// check verifies what an app has signed; it says what is wrong as GitHub does.
func (a AppKey) check(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "A JSON web token could not be decoded"
	}
	var head struct{ Alg, Typ string }
	var claims struct {
		Iat, Exp int64
		Iss      string
	}
	raw := make([][]byte, 3)
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return "A JSON web token could not be decoded"
		}
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := time.Now().Unix()
	switch {
	case json.Unmarshal(raw[0], &head) != nil, head.Alg != "RS256", json.Unmarshal(raw[1], &claims) != nil,
		rsa.VerifyPKCS1v15(&a.key.PublicKey, crypto.SHA256, digest[:], raw[2]) != nil:
		return "A JSON web token could not be decoded"
	case claims.Exp <= now:
		return "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	case claims.Exp > now+600, claims.Iat > now:
		return "'Expiration time' claim ('exp') is too far in the future"
	case claims.Iss != GitHubApp:
		return "Integration not found"
	}
	return ""
}
