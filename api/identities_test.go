package api_test

import (
	"slices"
	"testing"

	"lockstep"
)

// identities goes once through every route about who there is; what each may
// is another test's.
func identities(t *testing.T, a *api1) {
	const trust = `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"000000000000\"},\"Action\":\"sts:AssumeRole\"}]}`
	const allow = `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"secretsmanager:GetSecretValue\",\"Resource\":\"*\"}]}`
	a.call("POST", "/v1/policies", `{"name":"read","description":"d","document":"`+allow+`"}`, 201, nil)
	a.call("PUT", "/v1/policies/read", `{"document":"`+allow+`"}`, 200, nil)
	a.call("POST", "/v1/groups", `{"name":"ops"}`, 201, nil)
	a.call("POST", "/v1/roles", `{"name":"app","trust":"`+trust+`"}`, 201, nil)
	a.call("PUT", "/v1/roles/app", `{"description":"new","trust":"`+trust+`","boundary":"read"}`, 200, nil)
	a.call("POST", "/v1/users", `{"name":"ann","tags":[{"key":"team","value":"a"}]}`, 201, nil)
	a.call("PUT", "/v1/users/ann", `{"tags":[{"key":"team","value":"b"}],"boundary":"read"}`, 200, nil)
	a.call("PUT", "/v1/memberships?group=ops&user=ann", "", 200, nil)
	for _, holder := range []string{"user=ann", "group=ops", "role=app"} {
		a.call("PUT", "/v1/attachments?policy=read&"+holder, "", 200, nil)
	}
	var key struct{ ID, User, Secret string }
	a.call("POST", "/v1/access-keys?user=ann", "", 201, &key)
	if key.User != "ann" || len(key.Secret) != 40 {
		t.Errorf("key of %s with a secret of %d characters", key.User, len(key.Secret))
	}
	a.call("PUT", "/v1/access-keys/"+key.ID, `{"active":false}`, 200, nil)
	var ann struct {
		ARN, Boundary    string
		Tags             []lockstep.Tag
		Groups, Policies []string
		Keys             []struct {
			ID     string
			Active bool
		}
	}
	a.call("GET", "/v1/users/ann", "", 200, &ann)
	if ann.ARN != "arn:aws:iam::000000000000:user/ann" || ann.Boundary != "read" || !slices.Equal(ann.Tags, []lockstep.Tag{{Key: "team", Value: "b"}}) ||
		!slices.Equal(ann.Groups, []string{"ops"}) || !slices.Equal(ann.Policies, []string{"read"}) || len(ann.Keys) != 1 || ann.Keys[0].Active {
		t.Errorf("ann is %+v", ann)
	}
	var group struct{ Members, Policies []string }
	a.call("GET", "/v1/groups/ops", "", 200, &group)
	if !slices.Equal(group.Members, []string{"ann"}) || !slices.Equal(group.Policies, []string{"read"}) {
		t.Errorf("ops is %+v", group)
	}
	a.call("GET", "/v1/roles/app", "", 200, nil)
	var policy struct{ Holders []string }
	a.call("GET", "/v1/policies/read", "", 200, &policy)
	if len(policy.Holders) != 3 {
		t.Errorf("read hangs on %q", policy.Holders)
	}
	var page struct {
		Users []struct{ Name string }
		Next  string
	}
	a.call("GET", "/v1/users?limit=1", "", 200, &page)
	if len(page.Users) != 1 || page.Users[0].Name != "ann" || page.Next != "ann" {
		t.Errorf("first page %+v", page)
	}
	page.Next = ""
	a.call("GET", "/v1/users?limit=1&after=ann", "", 200, &page)
	if len(page.Users) != 1 || page.Users[0].Name != "root" || page.Next != "" {
		t.Errorf("second page %+v", page)
	}
	for _, list := range []string{"groups", "roles", "policies"} {
		a.call("GET", "/v1/"+list, "", 200, nil)
	}
	refusedIdentities(t, a)
	a.call("DELETE", "/v1/access-keys/"+key.ID, "", 200, nil)
	for _, holder := range []string{"user=ann", "group=ops", "role=app"} {
		a.call("DELETE", "/v1/attachments?policy=read&"+holder, "", 200, nil)
	}
	a.call("DELETE", "/v1/memberships?group=ops&user=ann", "", 200, nil)
	for _, path := range []string{"users/ann", "groups/ops", "roles/app", "policies/read"} {
		a.call("DELETE", "/v1/"+path, "", 200, nil)
	}
}

func refusedIdentities(t *testing.T, a *api1) {
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/users", `{"name":"ann"}`, 409},
		{"POST", "/v1/users", `{"name":"root"}`, 400},
		{"POST", "/v1/users", `{"name":"a/b"}`, 400},
		{"POST", "/v1/users", `{"name":"x","boundary":"nosuch"}`, 404},
		{"POST", "/v1/users", `{"name":"x","tags":[{"key":"aws:x","value":"y"}]}`, 400},
		{"POST", "/v1/users", `{"nam":"x"}`, 400},
		{"PUT", "/v1/users/ann", `{"name":"bob"}`, 400},
		{"PUT", "/v1/users/root", `{}`, 409},
		{"DELETE", "/v1/users/root", "", 409},
		{"GET", "/v1/users/nosuch", "", 404},
		{"POST", "/v1/access-keys", "", 400},
		{"POST", "/v1/access-keys?user=nosuch", "", 404},
		{"PUT", "/v1/access-keys/nosuch", `{"active":true}`, 404},
		{"PUT", "/v1/access-keys/" + a.creds.AccessKeyID, `{}`, 400},
		{"PUT", "/v1/access-keys/" + a.creds.AccessKeyID, `{"active":false}`, 409},
		{"DELETE", "/v1/access-keys/" + a.creds.AccessKeyID, "", 409},
		{"POST", "/v1/policies", `{"name":"x","document":"{}"}`, 400},
		{"POST", "/v1/roles", `{"name":"x","trust":"{}"}`, 400},
		{"DELETE", "/v1/policies/read", "", 409},
		{"PUT", "/v1/attachments?policy=read", "", 400},
		{"PUT", "/v1/attachments?policy=read&user=ann&group=ops", "", 400},
		{"PUT", "/v1/attachments?policy=nosuch&user=ann", "", 404},
		{"PUT", "/v1/attachments?policy=read&user=nosuch", "", 404},
		{"PUT", "/v1/attachments?policy=read&user=root", "", 409},
		{"DELETE", "/v1/attachments?policy=nosuch&user=ann", "", 404},
		{"PUT", "/v1/memberships?group=nosuch&user=ann", "", 404},
		{"PUT", "/v1/memberships?group=ops&user=nosuch", "", 404},
		{"PUT", "/v1/memberships?group=ops&user=root", "", 409},
		{"GET", "/v1/users?limit=0", "", 400},
	} {
		var got problem
		a.call(c.method, c.path, c.body, c.status, &got)
		if got.Code == "" || got.Message == "" {
			t.Errorf("%s %s: %+v", c.method, c.path, got)
		}
	}
}
