package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"lockstep/cmd/lockstep/manifest"
)

func read(text string) ([]manifest.Document, error) {
	return manifest.Read([]manifest.File{{Name: "m.yaml", Text: []byte(text)}})
}

func TestOrder(t *testing.T) {
	docs, err := read(`# what rotates
kind: Rotation
secret: prod/db
rotator: postgres-single
schedule: {expression: "@daily", jitter: 90s, afterDays: 3}
retirement:
  after: delay
  delay: 60m
---
---
kind: Secret
name: prod/db
tags: {team: a}
valueFrom:
  generate: {length: 40, excludePunctuation: true}
---
kind: User
name: app
groups: [readers]
policies: []
---
kind: Group
name: readers
policies: [read]
---
kind: Policy
name: read
document:
  Version: "2012-10-17"
  Statement:
    - Effect: Allow
      Action: [secretsmanager:GetSecretValue]
      Resource: "arn:aws:secretsmanager:*:*:secret:prod/<x>*"
      Condition: {NumericLessThan: {"secretsmanager:RecoveryWindowInDays": 7}}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, string(d.Kind)+" "+d.Name)
	}
	if want := "Policy read, Group readers, User app, Secret prod/db, Rotation prod/db"; strings.Join(got, ", ") != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:GetSecretValue"],` +
		`"Resource":"arn:aws:secretsmanager:*:*:secret:prod/<x>*","Condition":{"NumericLessThan":{"secretsmanager:RecoveryWindowInDays":7}}}]}`; string(docs[0].Policy.Document) != want {
		t.Errorf("document %s", docs[0].Policy.Document)
	}
	if r := docs[4].Rotation; r.Schedule.Jitter != "1m30s" || r.Retirement.Delay != "1h0m0s" || r.Schedule.AfterDays != 3 || *r.Rotator != "postgres-single" {
		t.Errorf("rotation %+v %+v", r.Schedule, r.Retirement)
	}
	if u := docs[2].User; u.Policies == nil || len(u.Policies) != 0 || u.Tags != nil {
		t.Errorf("user %+v: an empty list is not an absent one", u)
	}
	if s := docs[3].Secret; s.ValueFrom.Generate.Length != 40 || s.Tags["team"] != "a" || docs[3].Line != 11 {
		t.Errorf("secret %+v at %s", s, docs[3].Place)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "kind: [", "m.yaml:1:7: "},
		{"no fields", "- a\n", "m.yaml:1:1: want fields"},
		{"no kind", "name: a\n", "m.yaml:1:1: the field kind is missing"},
		{"unknown kind", "name: a\nkind: Sekret\n", `m.yaml:2:7: there is no kind "Sekret"`},
		{"kind is no text", "kind: 7\n", "m.yaml:1:7: want a text, found a number"},
		{"unknown field", "kind: User\nname: a\ntgas: {}\n", `m.yaml:3:1: there is no field "tgas" here; there are kind, name, tags`},
		{"unknown field inside", "kind: Rotation\nsecret: a\nschedule:\n  expresion: x\n", `m.yaml:4:3: there is no field "expresion"`},
		{"number for text", "kind: Secret\nname: a\ndescription: 1.10\n", "m.yaml:3:14: want a text, found a number"},
		{"number in tags", "kind: Secret\nname: a\ntags:\n  version: 1\n", "m.yaml:4:12: want a text, found a number"},
		{"true for text", "kind: User\nname: yes\nboundary: true\n", "m.yaml:3:11: want a text, found true or false"},
		{"text for number", "kind: Rotation\nsecret: a\nschedule: {afterDays: x}\n", "m.yaml:3:23: want a whole number, found a text"},
		{"text for a list", "kind: User\nname: a\npolicies: read\n", "m.yaml:3:11: want a list, found a text"},
		{"text for fields", "kind: Rotation\nsecret: a\nschedule: daily\n", "m.yaml:3:11: want fields (name: value), found a text"},
		{"text for a flag", "kind: ResourcePolicy\nsecret: a\nblockPublic: maybe\n", "m.yaml:3:14: want true or false"},
		{"missing name", "---\nkind: Secret\ndescription: d\n", "m.yaml:2:1: the field name is missing"},
		{"empty name", "kind: Secret\nname: \"\"\n", "m.yaml:2:7: the field name is empty"},
		{"repeated in a list", "kind: User\nname: a\npolicies: [x, x]\n", `m.yaml:3:15: "x" is repeated`},
		{"a value in clear", "kind: Secret\nname: a\nvalue: hunter2\n", `m.yaml:3:1: there is no field "value"`},
		{"two sources", "kind: Secret\nname: a\nvalueFrom:\n  env: X\n  file: y\n", "m.yaml:4:3: valueFrom needs exactly one of"},
		{"no duration", "kind: Rotation\nsecret: a\nschedule:\n  expression: '@daily'\n  jitter: soon\n", `m.yaml:5:11: "soon" is not a duration`},
		{"bad policy", "kind: Policy\nname: a\ndocument:\n  Version: \"2012-10-17\"\n  Statement: [{Effect: Allow, Action: x, Resource: \"*\"}]\n",
			"m.yaml:4:3: malformed policy, statement 1, element Action"},
		{"bad policy in JSON", "kind: Policy\nname: a\ndocument: '{'\n", "m.yaml:3:11: malformed policy"},
		{"twice", "kind: Group\nname: a\n---\nkind: Group\nname: a\n", `m.yaml:4:1: Group "a" stands at m.yaml:1:1 already`},
		{"alias", "kind: User\nname: &n a\nboundary: *n\n", "m.yaml:2:7: want a text, found something that cannot stand here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(c.text)
			var e *manifest.Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s…", err, c.want)
			}
		})
	}
	_, err := read("kind: A\n---\nkind: B\n")
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not all errors are told: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("kind: Secret\nname: a\nvalueFrom: {env: X}\n")
	f.Add("kind: Policy\nname: a\ndocument: {Statement: [1, 1.5, null, true, |\n x]}\n")
	f.Add("kind: User\nname: &a b\ntags: {<<: *a}\n---\n- 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := read(text)
		if (docs != nil) == (err != nil) && err != nil {
			t.Errorf("both documents and %v", err)
		}
	})
}
