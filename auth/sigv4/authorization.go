package sigv4

import (
	"encoding/hex"
	"strings"
)

// AlgorithmHMAC is the algorithm of signatures by secret key.
const AlgorithmHMAC = "AWS4-HMAC-SHA256"

const (
	terminator          = "aws4_request"
	maxAuthorization    = 8 << 10
	maxSignedHeaders    = 100
	maxSignature        = 2 << 10 // bytes; an RSA-16384 signature
	maxCredentialLength = 128
)

// Scope is what a signature is good for: one day, one region, one service.
type Scope struct {
	Date    string // YYYYMMDD
	Region  string
	Service string
}

// String returns the scope as it stands in the string to sign.
func (s Scope) String() string {
	return s.Date + "/" + s.Region + "/" + s.Service + "/" + terminator
}

// Authorization is an Authorization header taken apart. Nothing in it is
// verified yet.
type Authorization struct {
	Algorithm string
	// CredentialID is the access key id; for signatures by certificate the
	// serial number in decimal.
	CredentialID string
	Scope        Scope
	// SignedHeaders are lower case, sorted, without repeats.
	SignedHeaders []string
	Signature     []byte

	signedList string // SignedHeaders as sent, joined by ';'
}

// ParseAuthorization takes an Authorization header's value apart. It accepts
// any algorithm name; which ones are allowed is the caller's rule. Errors are
// *Error with reason Incomplete.
func ParseAuthorization(value string) (Authorization, error) {
	if len(value) > maxAuthorization {
		return Authorization{}, refuse(Incomplete, "The Authorization header is too long.")
	}
	algorithm, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
	fields, err := authorizationFields(rest)
	if err != nil {
		return Authorization{}, err
	}
	auth := Authorization{Algorithm: algorithm, signedList: fields.signedHeaders}
	if auth.CredentialID, auth.Scope, err = parseCredential(fields.credential); err != nil {
		return Authorization{}, err
	}
	if auth.SignedHeaders, err = parseSignedHeaders(fields.signedHeaders); err != nil {
		return Authorization{}, err
	}
	auth.Signature, err = parseSignature(fields.signature)
	return auth, err
}

type authFields struct{ credential, signedHeaders, signature string }

// authorizationFields splits "Credential=…, SignedHeaders=…, Signature=…".
// Each must be there exactly once; a repeated one would let two readers of the
// header see different values.
func authorizationFields(s string) (authFields, error) {
	var f authFields
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var slot *string
		switch name {
		case "Credential":
			slot = &f.credential
		case "SignedHeaders":
			slot = &f.signedHeaders
		case "Signature":
			slot = &f.signature
		case "":
			continue
		default:
			return f, refuse(Incomplete, "Authorization header holds an unknown parameter.")
		}
		if *slot != "" {
			return f, refuse(Incomplete, "Authorization header repeats '"+name+"'.")
		}
		*slot = value
	}
	var missing []string
	if f.credential == "" {
		missing = append(missing, "Authorization header requires 'Credential' parameter.")
	}
	if f.signature == "" {
		missing = append(missing, "Authorization header requires 'Signature' parameter.")
	}
	if f.signedHeaders == "" {
		missing = append(missing, "Authorization header requires 'SignedHeaders' parameter.")
	}
	if missing != nil {
		return f, refuse(Incomplete, strings.Join(missing, " "))
	}
	return f, nil
}

func parseCredential(s string) (string, Scope, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 5 {
		return "", Scope{}, refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if !isCredentialID(parts[0]) {
		return "", Scope{}, refuse(Incomplete, "Credential must begin with an access key id.")
	}
	if parts[4] != terminator {
		return "", Scope{}, refuse(Incomplete, "Credential should be scoped with a valid terminator: '"+terminator+"'.")
	}
	return parts[0], Scope{Date: parts[1], Region: parts[2], Service: parts[3]}, nil
}

func parseSignedHeaders(s string) ([]string, error) {
	names := strings.Split(s, ";")
	if len(names) > maxSignedHeaders {
		return nil, refuse(Incomplete, "SignedHeaders names too many headers.")
	}
	for i, name := range names {
		if !isHeaderName(name) {
			return nil, refuse(Incomplete, "SignedHeaders must be lower-case header names joined by ';'.")
		}
		if i > 0 && names[i-1] >= name {
			return nil, refuse(Incomplete, "SignedHeaders must be sorted and without repeats.")
		}
	}
	return names, nil
}

// parseSignature takes lower-case hex only: one signature has one spelling.
func parseSignature(s string) ([]byte, error) {
	sig, err := hex.DecodeString(s)
	if err != nil || len(sig) == 0 || len(sig) > maxSignature || strings.ToLower(s) != s {
		return nil, refuse(Incomplete, "Signature must be lower-case hexadecimal.")
	}
	return sig, nil
}

func isCredentialID(s string) bool {
	if s == "" || len(s) > maxCredentialLength {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// isHeaderName reports whether s is an HTTP token without upper case.
func isHeaderName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if isAlnum(c) && (c < 'A' || c > 'Z') {
			continue
		}
		if strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
