package marker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// form is one way in which a value may stand somewhere.
type form struct {
	name string
	text []byte
}

// formsOf lists the ways. Base64 is taken at all three places within a longer
// text, without the ends, which depend on what stands beside.
func formsOf(value []byte) []form {
	out := []form{
		{"raw", value},
		{"hexadecimal", []byte(hex.EncodeToString(value))},
		{"upper-case hexadecimal", bytes.ToUpper([]byte(hex.EncodeToString(value)))},
		{"URL query", []byte(url.QueryEscape(string(value)))},
		{"URL path", []byte(url.PathEscape(string(value)))},
		{"Go bytes", []byte(fmt.Sprint(value))},
		{"quoted", []byte(fmt.Sprintf("%q", value))},
	}
	if text, err := json.Marshal(string(value)); err == nil {
		out = append(out, form{"JSON", bytes.Trim(text, `"`)})
	}
	for shift := range 3 {
		padded := append(make([]byte, shift), value...)
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "URL base64": base64.RawURLEncoding} {
			text := []byte(encoding.EncodeToString(padded))
			out = append(out, form{fmt.Sprintf("%s at %d", name, shift), text[4 : len(text)-3]})
		}
	}
	return out
}

// find names the forms of a value that stand in a text.
func find(text, value []byte) (found []string) {
	for _, f := range formsOf(value) {
		if bytes.Contains(text, f.text) {
			found = append(found, f.name)
		}
	}
	return found
}

// filesUnder reads every regular file, whole, but those with the names given.
// One that vanishes meanwhile has nothing to show.
func filesUnder(dir string, but ...string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() || slices.Contains(but, d.Name()) {
			return err
		}
		content, err := os.ReadFile(path) // #nosec G304 -- the test's own directory
		if os.IsNotExist(err) {
			return nil
		}
		out[path] = content
		return err
	})
	return out, err
}

// lockedBuffer collects what a process writes while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
