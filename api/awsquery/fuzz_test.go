package awsquery_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"lockstep/api/awsquery"
)

type service struct{}

func (service) Namespace() string                              { return "https://sts.amazonaws.com/doc/2011-06-15/" }
func (service) APIVersion() string                             { return "2011-06-15" }
func (service) Do(context.Context, awsquery.Call) (any, error) { return nil, nil }

// FuzzParse: a form is read as it was meant or refused with an answer that is
// whole XML, whatever stands in it; what is read is what the form says.
func FuzzParse(f *testing.F) {
	for _, body := range []string{
		"", "Action=GetCallerIdentity&Version=2011-06-15", "Action=%zz", "Action=a&Action=b&Version=2011-06-15",
		"Action=AssumeRole&Version=2011-06-15&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Key=%00",
		"Action=AssumeRole&Version=2011-06-15&Tags.member.1=a&Tags.member.3=c", "Action=<x>&Version=\"", "a;b", "Action=\xff&Version=1",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		call, err := awsquery.Parse(body, service{})
		if err == nil {
			read(t, body, call)
			return
		}
		var told *awsquery.Error
		if !errors.As(err, &told) {
			t.Fatalf("%q: %v is nothing to tell a client", body, err)
		}
		answer := httptest.NewRecorder()
		awsquery.WriteError(answer, service{}.Namespace(), "id", told)
		var back struct {
			Error struct{ Code, Message string }
		}
		if err := xml.Unmarshal(answer.Body.Bytes(), &back); err != nil || back.Error.Code != told.Code || answer.Code != 400 {
			t.Fatalf("%q: answered %d %q (%v)", body, answer.Code, answer.Body, err)
		}
	})
}

// read compares a call with its form.
func read(t *testing.T, body []byte, call awsquery.Call) {
	t.Helper()
	if call.Action == "" || call.Params.Get("Version") != (service{}).APIVersion() {
		t.Fatalf("%q is read as %+v", body, call)
	}
	again, err := awsquery.Parse([]byte(call.Params.Encode()), service{})
	if err != nil || again.Params.Encode() != call.Params.Encode() {
		t.Fatalf("%q written again is %+v (%v)", body, again, err)
	}
	for name := range call.Params {
		list, _, _ := strings.Cut(name, ".member.")
		members := call.List(list, "")
		for i, member := range members {
			if want := call.Params.Get(fmt.Sprintf("%s.member.%d", list, i+1)); member != want {
				t.Fatalf("%q: member %d is %q, want %q", body, i+1, member, want)
			}
		}
		if len(members) > len(call.Params) {
			t.Fatalf("%q: %d members of %d parameters", body, len(members), len(call.Params))
		}
	}
}
