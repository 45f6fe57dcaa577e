package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest is what goes into the canonical form of a request.
type canonicalRequest struct {
	request *http.Request
	host    string
	// path overrides the request's path when not empty: some clients sign a
	// fixed path, whatever they send.
	path string
	auth Authorization
	body [sha256.Size]byte
}

// append writes the canonical form. It fails when a signed header is absent or
// holds what no header may hold, and when the query is malformed: then there is
// no single text both sides could agree on.
func (c canonicalRequest) append(b []byte) ([]byte, error) {
	b = append(b, c.request.Method...)
	b = append(b, '\n')
	b = appendPath(b, c.path, c.request.URL)
	b = append(b, '\n')
	b, err := appendQuery(b, c.request.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	for _, name := range c.auth.SignedHeaders {
		if b, err = c.appendHeader(b, name); err != nil {
			return nil, err
		}
	}
	b = append(b, '\n')
	b = append(b, c.auth.signedList...)
	b = append(b, '\n')
	return hex.AppendEncode(b, c.body[:]), nil
}

func (c canonicalRequest) appendHeader(b []byte, name string) ([]byte, error) {
	values := c.headerValues(name)
	if len(values) == 0 {
		return nil, refuse(Mismatch, "SignedHeaders names '"+name+"', which the request does not carry.")
	}
	b = append(b, name...)
	b = append(b, ':')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if !isHeaderValue(v) {
			return nil, refuse(Mismatch, "The header '"+name+"' holds a control character.")
		}
		b = appendTrimmed(b, v)
	}
	return append(b, '\n'), nil
}

// headerValues finds a header's values where net/http keeps them: a few leave
// the header map when the request is read.
func (c canonicalRequest) headerValues(name string) []string {
	r := c.request
	switch name {
	case "host":
		return []string{c.host}
	case "content-length":
		if r.ContentLength < 0 {
			return nil
		}
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	case "transfer-encoding":
		return r.TransferEncoding
	default:
		return r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	}
}

// appendPath writes the path as sent, encoded once more, as every service
// except S3 has it.
func appendPath(b []byte, override string, u *url.URL) []byte {
	path := override
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	for i := range len(path) {
		if c := path[i]; c == '/' || isUnreserved(c) {
			b = append(b, c)
		} else {
			b = appendPercent(b, c)
		}
	}
	return b
}

// appendQuery writes the parameters, each decoded and encoded again, sorted
// after the encoding.
func appendQuery(b []byte, raw string) ([]byte, error) {
	if raw == "" {
		return b, nil
	}
	type param struct{ key, value string }
	var params []param
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, errKey := url.QueryUnescape(k)
		value, errValue := url.QueryUnescape(v)
		// net/http drops such a pair in silence; what we sign for and what the
		// handler reads must not differ.
		if errKey != nil || errValue != nil || strings.Contains(part, ";") {
			return nil, refuse(Mismatch, "The query string is malformed.")
		}
		params = append(params, param{encodeComponent(key), encodeComponent(value)})
	}
	slices.SortFunc(params, func(x, y param) int {
		if c := strings.Compare(x.key, y.key); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.key...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b, nil
}

func encodeComponent(s string) string {
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		if isUnreserved(s[i]) {
			b = append(b, s[i])
		} else {
			b = appendPercent(b, s[i])
		}
	}
	return string(b)
}

func isUnreserved(c byte) bool {
	return isAlnum(c) || c == '-' || c == '_' || c == '.' || c == '~'
}

func appendPercent(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// appendTrimmed writes v without spaces at its ends, and with runs of spaces
// made one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	for i := range len(v) {
		if v[i] == ' ' && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}

// isHeaderValue refuses control characters: a line break inside a value could
// imitate another header.
func isHeaderValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// stringToSign binds the canonical request to algorithm, time and scope.
func stringToSign(auth Authorization, timestamp string, canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	b := make([]byte, 0, 192)
	b = append(b, auth.Algorithm...)
	b = append(b, '\n')
	b = append(b, timestamp...)
	b = append(b, '\n')
	b = append(b, auth.Scope.String()...)
	b = append(b, '\n')
	return hex.AppendEncode(b, sum[:])
}
