package providertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// The credentials of the one who asks, and of another who may look and not make.
// #nosec G101 -- of these servers alone
const (
	AdminToken  = "admin-token-1f0e"
	ReaderToken = "reader-token-77aa"
	// GitLabProject is the one project that there is.
	GitLabProject = "team/shop"
)

// GitLab issues project access tokens (GitLab's REST API, version 4).
func GitLab() Provider {
	return Provider{Prefix: "glpat-", serve: func(mux *http.ServeMux, k *Keyring) {
		const tokens = "/api/v4/projects/{project}/access_tokens" // #nosec G101 -- a path
		mux.HandleFunc("POST "+tokens, gitLabAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) { gitLabCreate(w, r, k) }))
		mux.HandleFunc("GET "+tokens, gitLabAdmin("", func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, "%s", list(k.page(1, number(r, "page"), number(r, "per_page")), gitLabToken))
		}))
		mux.HandleFunc("DELETE "+tokens+"/{id}", gitLabAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) {
			if !k.Revoke(r.PathValue("id")) {
				answer(w, 404, `{"message":"404 Not Found"}`)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		mux.HandleFunc("GET /api/v4/personal_access_tokens/self", func(w http.ResponseWriter, r *http.Request) {
			key := k.use(r.Header.Get("PRIVATE-TOKEN"))
			if key == nil {
				answer(w, 401, `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`)
				return
			}
			answer(w, 200, "%s", gitLabToken(*key))
		})
		// What must never be called.
		mux.HandleFunc("POST "+tokens+"/{id}/rotate", func(w http.ResponseWriter, _ *http.Request) {
			for _, key := range k.Keys() {
				k.Revoke(key.ID)
			}
			answer(w, 200, `{}`)
		})
	}}
}

// gitLabAdmin lets only those through who may: one token, or with "" also the
// reader's.
func gitLabAdmin(who string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("PRIVATE-TOKEN")
		switch {
		case token != AdminToken && token != ReaderToken:
			answer(w, 401, `{"message":"401 Unauthorized"}`)
		case r.PathValue("project") != GitLabProject:
			answer(w, 404, `{"message":"404 Project Not Found"}`)
		case who != "" && token != who:
			answer(w, 403, `{"message":"403 Forbidden"}`)
		default:
			next(w, r)
		}
	}
}

func gitLabCreate(w http.ResponseWriter, r *http.Request, k *Keyring) {
	var in struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes"`
		Level     int      `json:"access_level"`
		ExpiresAt string   `json:"expires_at"`
	}
	if !body(w, r, &in) {
		return
	}
	end, err := time.Parse(time.DateOnly, in.ExpiresAt)
	if in.Name == "" || len(in.Scopes) == 0 || err != nil || time.Until(end) > 366*24*time.Hour {
		answer(w, 400, `{"message":"400 Bad request - scopes is missing, or expires_at is invalid"}`)
		return
	}
	key := k.Issue("glpat-", in.Name)
	if key == nil {
		answer(w, 400, `{"message":"400 Bad request - limit reached"}`)
		return
	}
	answer(w, 201, `{"token":%q,%s`, key.Value, strings.TrimPrefix(gitLabToken(*key), "{"))
}

func gitLabToken(k Key) string {
	name, _ := json.Marshal(k.Name)
	return `{"id":` + k.ID + `,"name":` + string(name) + `,"revoked":false,"active":true,"user_id":7,"access_level":30,` +
		`"scopes":["read_api"],"expires_at":"` + k.Day.Add(90*24*time.Hour).UTC().Format(time.DateOnly) + `"}`
}

// Cloudflare issues API tokens of a user (Cloudflare's API, version 4).
func Cloudflare() Provider {
	return Provider{Prefix: "cf_", serve: func(mux *http.ServeMux, k *Keyring) {
		mux.HandleFunc("POST /client/v4/user/tokens", cloudflareAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) { cloudflareCreate(w, r, k) }))
		mux.HandleFunc("GET /client/v4/user/tokens", cloudflareAdmin("", func(w http.ResponseWriter, r *http.Request) {
			if size := number(r, "per_page"); size < 5 || size > 50 {
				cloudflareRefuses(w, 400, 1001, "per_page is out of range")
				return
			}
			answer(w, 200, `{"success":true,"errors":[],"messages":[],"result":%s}`,
				list(k.page(1, number(r, "page"), number(r, "per_page")), cloudflareToken))
		}))
		mux.HandleFunc("DELETE /client/v4/user/tokens/{id}", cloudflareAdmin(AdminToken, func(w http.ResponseWriter, r *http.Request) {
			if !k.Revoke(r.PathValue("id")) {
				cloudflareRefuses(w, 404, 1003, "API token not found")
				return
			}
			answer(w, 200, `{"success":true,"errors":[],"messages":[],"result":{"id":%q}}`, r.PathValue("id"))
		}))
		mux.HandleFunc("GET /client/v4/user/tokens/verify", func(w http.ResponseWriter, r *http.Request) {
			key := k.use(bearer(r))
			switch {
			case key != nil:
				answer(w, 200, `{"success":true,"errors":[],"messages":[],"result":{"id":%q,"status":"active"}}`, key.ID)
			case !strings.HasPrefix(bearer(r), "cf_"):
				cloudflareRefuses(w, 400, 6003, "Invalid request headers")
			default:
				cloudflareRefuses(w, 401, 1000, "Invalid API Token")
			}
		})
	}}
}

func cloudflareRefuses(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, `{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, message)
}

func cloudflareAdmin(who string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		switch {
		case token != AdminToken && token != ReaderToken:
			cloudflareRefuses(w, 401, 1000, "Invalid API Token")
		case who != "" && token != who:
			cloudflareRefuses(w, 403, 9109, "Unauthorized to access requested resource")
		default:
			next(w, r)
		}
	}
}

func cloudflareCreate(w http.ResponseWriter, r *http.Request, k *Keyring) {
	var in struct {
		Name     string `json:"name"`
		Policies []struct {
			Effect    string            `json:"effect"`
			Resources map[string]string `json:"resources"`
			Groups    []struct {
				ID string `json:"id"`
			} `json:"permission_groups"`
		} `json:"policies"`
	}
	if !body(w, r, &in) {
		return
	}
	if in.Name == "" || len(in.Policies) == 0 || in.Policies[0].Effect == "" || len(in.Policies[0].Groups) == 0 {
		cloudflareRefuses(w, 400, 1001, "Token policies are invalid")
		return
	}
	key := k.Issue("cf_", in.Name)
	answer(w, 200, `{"success":true,"errors":[],"messages":[],"result":{"value":%q,%s}`, key.Value, strings.TrimPrefix(cloudflareToken(*key), "{"))
}

func cloudflareToken(k Key) string {
	name, _ := json.Marshal(k.Name)
	return `{"id":"` + k.ID + `","name":` + string(name) + `,"status":"active"}`
}
