package rootkey

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"lockstep"
	"lockstep/hsm/pkcs11"
)

// Spec is a line taken apart: a file if Path is set, else a token.
type Spec struct {
	// Path of the key file, absolute.
	Path string
	// Token and Object are the labels of the token and of the key on it;
	// Module is the path of the vendor's library, absolute.
	Token, Object, Module string
	// Source is where the passphrase or the PIN is read from: an absolute path
	// or "fd:3". Empty only for a file without a passphrase.
	Source string
}

const (
	schemeFile  = "file:"
	schemeToken = "pkcs11:"
	schemeFD    = "fd:"
)

// Parse reads a line. Paths become absolute, so that the line means the same
// wherever it is read next. Every error is a lockstep.ErrInvalid, and none
// repeats what might be a PIN.
func Parse(line string) (Spec, error) {
	if rest, ok := strings.CutPrefix(line, schemeFile); ok {
		return parseFile(rest)
	}
	if rest, ok := strings.CutPrefix(line, schemeToken); ok {
		return parseToken(rest)
	}
	if line != "" && !strings.Contains(line, ":") {
		return parseFile(line) // a path alone
	}
	return Spec{}, invalid(`it begins with "file:" or "pkcs11:", for example file:/var/lib/lockstep/root.key`)
}

// String is the line that Parse reads.
func (s Spec) String() string {
	if s.Path != "" {
		line := schemeFile + s.Path
		if s.Source != "" {
			line += "?passphrase-source=" + s.source()
		}
		return line
	}
	return schemeToken + "token=" + escape(s.Token) + ";object=" + escape(s.Object) +
		"?module-path=" + escape(s.Module) + "&pin-source=" + s.source()
}

func (s Spec) source() string {
	if strings.HasPrefix(s.Source, schemeFD) {
		return s.Source
	}
	return schemeFile + escape(s.Source)
}

// escape is percent-encoding of all that has a meaning in a PKCS#11 URI.
func escape(s string) string {
	return strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(s))
}

func parseFile(rest string) (Spec, error) {
	path, query, _ := strings.Cut(rest, "?")
	var s Spec
	var err error
	if s.Path, err = absolute(path); err != nil {
		return Spec{}, err
	}
	return s, attributes(query, "&", map[string]func(string) error{"passphrase-source": s.setSource}, &s)
}

func parseToken(rest string) (Spec, error) {
	path, query, _ := strings.Cut(rest, "?")
	s := Spec{Object: pkcs11.DefaultLabel}
	err := attributes(path, ";", map[string]func(string) error{
		"token":  setText(&s.Token),
		"object": setText(&s.Object),
		"type":   func(string) error { return nil }, // what is wanted is known
	}, &s)
	if err != nil {
		return Spec{}, err
	}
	err = attributes(query, "&", map[string]func(string) error{
		"module-path": s.setModule,
		"pin-source":  s.setSource,
	}, &s)
	switch {
	case err != nil:
		return Spec{}, err
	case s.Token == "" || s.Object == "":
		return Spec{}, invalid("token= names the token and may not be empty, nor may object=, the key's label (%s if it is left out)", pkcs11.DefaultLabel)
	case s.Module == "":
		return Spec{}, invalid("module-path= is missing: the path of the HSM's PKCS#11 library")
	case s.Source == "":
		return Spec{}, invalid("pin-source= is missing: file:PATH or fd:NUMBER to read the PIN from")
	}
	return s, nil
}

// attributes reads name=value pairs, each at most once.
func attributes(text, separator string, known map[string]func(string) error, s *Spec) error {
	if text == "" {
		return nil
	}
	for pair := range strings.SplitSeq(text, separator) {
		name, raw, _ := strings.Cut(pair, "=")
		if name == "pin-value" {
			return invalid("pin-value= would show the PIN to everyone who can list processes; use pin-source=file:PATH or pin-source=fd:NUMBER")
		}
		set := known[name]
		if set == nil {
			*s = Spec{}
			return invalid("%q is unknown, stands twice, or stands on the wrong side of the question mark", name)
		}
		delete(known, name)
		value, err := url.PathUnescape(raw)
		if err != nil || strings.ContainsRune(value, 0) {
			return invalid("the value of %s= is not percent-encoded as a URI is", name)
		}
		if err := set(value); err != nil {
			return err
		}
	}
	return nil
}

func setText(field *string) func(string) error {
	return func(value string) error {
		*field = value
		return nil
	}
}

func (s *Spec) setModule(value string) (err error) {
	s.Module, err = absolute(value)
	return err
}

func (s *Spec) setSource(value string) error {
	if _, ok := descriptor(value); ok {
		s.Source = value
		return nil
	}
	if strings.HasPrefix(value, schemeFD) || strings.HasPrefix(value, "|") {
		return invalid("a source is file:PATH, or fd:NUMBER with a number from 3 to 1023")
	}
	var err error
	s.Source, err = absolute(strings.TrimPrefix(value, schemeFile))
	return err
}

func absolute(path string) (string, error) {
	// RFC 8089: "file:///path" is "file:/path".
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	if path == "" {
		return "", invalid("a path is missing")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("read root key line: %w", err)
	}
	return abs, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("root key: "+format+": %w", append(args, lockstep.ErrInvalid)...)
}
