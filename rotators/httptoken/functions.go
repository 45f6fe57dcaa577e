package httptoken

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// function is one that templates may call. The set is closed: none reads a
// file, the environment, or anything but its arguments and the time.
type function struct {
	name string
	// takes names the arguments; one that is called "duration" is a literal.
	takes []string
	// number tells that the result is JSON as it is.
	number bool
	do     func(s *scope, args []string) (string, error)
}

const duration = "duration"

func functions() []*function {
	return []*function{
		{name: "base64", takes: []string{"text"}, do: func(_ *scope, a []string) (string, error) {
			return base64.StdEncoding.EncodeToString([]byte(a[0])), nil
		}},
		{name: "base64url", takes: []string{"text"}, do: func(_ *scope, a []string) (string, error) {
			return base64.RawURLEncoding.EncodeToString([]byte(a[0])), nil
		}},
		{name: "basic", takes: []string{"user", "password"}, do: basic},
		{name: "url-escape", takes: []string{"text"}, do: func(_ *scope, a []string) (string, error) { return url.QueryEscape(a[0]), nil }},
		{name: "json-escape", takes: []string{"text"}, do: jsonEscape},
		{name: "text", takes: []string{"value"}, do: func(_ *scope, a []string) (string, error) { return a[0], nil }},
		{name: "number", takes: []string{"text"}, number: true, do: number},
		{name: "date-in", takes: []string{duration}, do: func(s *scope, a []string) (string, error) { return s.in(a[0]).Format(time.DateOnly), nil }},
		{name: "time-in", takes: []string{duration}, do: func(s *scope, a []string) (string, error) { return s.in(a[0]).Format(time.RFC3339), nil }},
		{name: "unix-in", takes: []string{duration}, number: true, do: func(s *scope, a []string) (string, error) {
			return strconv.FormatInt(s.in(a[0]).Unix(), 10), nil
		}},
		{name: "jwt-rs256", takes: []string{"issuer", "key", duration}, do: jwtRS256},
	}
}

func functionNamed(name string) *function {
	for _, f := range functions() {
		if f.name == name {
			return f
		}
	}
	return nil
}

func functionNames() string {
	var names []string
	for _, f := range functions() {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// maxAhead bounds the durations of recipes: ten years.
const maxAhead = 10 * 366 * 24 * time.Hour

// checkArgs looks at what can be looked at when the recipe is read.
func (f *function) checkArgs(args []expr) error {
	for i, a := range args {
		if a.optional() {
			return fmt.Errorf("%s takes no argument that may be nothing", f.name)
		}
		if f.takes[i] != duration {
			continue
		}
		if len(a.terms) != 1 || a.terms[0].literal == nil {
			return fmt.Errorf(`%s takes a duration in quotes, such as "720h"`, f.name)
		}
		d, err := time.ParseDuration(*a.terms[0].literal)
		if err != nil || d <= 0 || d > maxAhead {
			return fmt.Errorf(`%s: %q is no duration such as "10m" or "720h"`, f.name, *a.terms[0].literal)
		}
	}
	return nil
}

// in is the time after a duration that checkArgs has seen.
func (s *scope) in(literal string) time.Time {
	d, err := time.ParseDuration(literal)
	if err != nil {
		return s.now
	}
	return s.now.Add(d).UTC()
}

func basic(_ *scope, a []string) (string, error) {
	if strings.Contains(a[0], ":") {
		return "", errors.New("a user's name with a colon cannot be sent")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a[0]+":"+a[1])), nil
}

// jsonEscape is a text as it stands between the quotes of a JSON string.
func jsonEscape(_ *scope, a []string) (string, error) {
	quoted, err := quote(a[0])
	if err != nil {
		return "", err
	}
	return string(quoted[1 : len(quoted)-1]), nil
}

func number(_ *scope, a []string) (string, error) {
	if !json.Valid([]byte(a[0])) || a[0] == "" || !strings.ContainsRune("-0123456789", rune(a[0][0])) {
		return "", errors.New("the text is no number")
	}
	return a[0], nil
}
