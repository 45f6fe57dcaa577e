package providertest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// SendGrid issues API keys (SendGrid's API, version 3).
func SendGrid() Provider {
	return Provider{Prefix: "SG.", serve: func(mux *http.ServeMux, k *Keyring) {
		mux.HandleFunc("POST /v3/api_keys", sendGridAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) { sendGridCreate(w, r, k) }))
		mux.HandleFunc("GET /v3/api_keys", sendGridAdmin("", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, `{"result":%s}`, list(k.Keys(), func(key Key) string {
				name, _ := json.Marshal(key.Name)
				return `{"name":` + string(name) + `,"api_key_id":"` + key.ID + `"}`
			}))
		}))
		mux.HandleFunc("DELETE /v3/api_keys/{id}", sendGridAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) {
			if !k.Revoke(r.PathValue("id")) {
				sendGridRefuses(w, 404, "unable to find API Key")
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		mux.HandleFunc("GET /v3/scopes", func(w http.ResponseWriter, r *http.Request) {
			if k.use(bearer(r)) == nil {
				sendGridRefuses(w, 401, "authorization required")
				return
			}
			answer(w, 200, `{"scopes":["mail.send"]}`)
		})
	}}
}

func sendGridRefuses(w http.ResponseWriter, status int, message string) {
	answer(w, status, `{"errors":[{"field":null,"message":%q}]}`, message)
}

func sendGridAdmin(who string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch token := bearer(r); {
		case token != AdminToken && token != ReaderToken:
			sendGridRefuses(w, 401, "authorization required")
		case who != "" && token != who:
			sendGridRefuses(w, 403, "access forbidden")
		default:
			next(w, r)
		}
	}
}

func sendGridCreate(w http.ResponseWriter, r *http.Request, k *Keyring) {
	var in struct {
		Name   string   `json:"name"`
		Scopes []string `json:"scopes"`
	}
	if !body(w, r, &in) {
		return
	}
	if in.Name == "" || len(in.Scopes) == 0 {
		sendGridRefuses(w, 400, "missing required argument")
		return
	}
	key := k.Issue("SG.", in.Name)
	if key == nil {
		sendGridRefuses(w, 403, "Cannot create more than 100 API Keys")
		return
	}
	answer(w, 201, `{"api_key":%q,"api_key_id":%q,"name":%q,"scopes":["mail.send"]}`, key.Value, key.ID, key.Name)
}

// DatadogApplicationKey goes with the admin's API key.
const DatadogApplicationKey = "application-key-3c2b"

// Datadog issues API keys of an organization (Datadog's API, versions 1 and 2).
func Datadog() Provider {
	return Provider{Prefix: "dd", serve: func(mux *http.ServeMux, k *Keyring) {
		mux.HandleFunc("POST /api/v2/api_keys", datadogAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) { datadogCreate(w, r, k) }))
		mux.HandleFunc("GET /api/v2/api_keys", datadogAdmin("", func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, `{"data":%s}`, list(k.page(0, number(r, "page[number]"), number(r, "page[size]")), func(key Key) string { return datadogKey(key, "") }))
		}))
		mux.HandleFunc("DELETE /api/v2/api_keys/{id}", datadogAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) {
			if !k.Revoke(r.PathValue("id")) {
				answer(w, 404, `{"errors":["Not Found"]}`)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		mux.HandleFunc("GET /api/v1/validate", func(w http.ResponseWriter, r *http.Request) {
			if k.use(r.Header.Get("DD-API-KEY")) == nil {
				answer(w, 403, `{"errors":["Forbidden"]}`)
				return
			}
			answer(w, 200, `{"valid":true}`)
		})
	}}
}

func datadogAdmin(who string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("DD-API-KEY")
		switch {
		case token != AdminToken && token != ReaderToken, r.Header.Get("DD-APPLICATION-KEY") != DatadogApplicationKey:
			answer(w, 401, `{"errors":["Unauthorized"]}`)
		case who != "" && token != who:
			answer(w, 403, `{"errors":["Forbidden"]}`)
		default:
			next(w, r)
		}
	}
}

func datadogCreate(w http.ResponseWriter, r *http.Request, k *Keyring) {
	var in struct {
		Data struct {
			Type       string `json:"type"`
			Attributes struct {
				Name string `json:"name"`
			} `json:"attributes"`
		} `json:"data"`
	}
	if !body(w, r, &in) {
		return
	}
	if in.Data.Type != "api_keys" || in.Data.Attributes.Name == "" {
		answer(w, 400, `{"errors":["Invalid payload"]}`)
		return
	}
	key := k.Issue("dd", in.Data.Attributes.Name)
	answer(w, 201, `{"data":%s}`, datadogKey(*key, `,"key":"`+key.Value+`"`))
}

func datadogKey(k Key, more string) string {
	name, _ := json.Marshal(k.Name)
	return strings.Join([]string{`{"type":"api_keys","id":"`, k.ID, `","attributes":{"name":`, string(name), more, `}}`}, "")
}
