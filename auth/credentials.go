package auth

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lockstep"
)

// Credentials are an access key in the hands of its owner.
type Credentials struct {
	AccessKeyID string
	SecretKey   lockstep.Value
	// SessionToken belongs to a short-lived key; empty for a long-term one.
	SessionToken string
}

// The names in AWS's credentials file.
const (
	defaultProfile  = "[default]"
	keyIDSetting    = "aws_access_key_id"
	secretSetting   = "aws_secret_access_key" // #nosec G101 -- a field name, no credential
	tokenSetting    = "aws_session_token"
	credentialsMode = fs.FileMode(0o600)
)

// WriteCredentials writes c as the default profile of a file in the form of
// ~/.aws/credentials, readable by its owner alone. The file is replaced as a
// whole: a reader sees the old or the new one, also after a crash.
func WriteCredentials(path string, c Credentials) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s = %s\n%s = %s\n", defaultProfile, keyIDSetting, c.AccessKeyID, secretSetting, c.SecretKey.Reveal())
	if c.SessionToken != "" {
		fmt.Fprintf(&b, "%s = %s\n", tokenSetting, c.SessionToken)
	}
	if err := replaceFile(path, b.Bytes()); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	return nil
}

// replaceFile writes beside path and renames; both the file and its directory
// are flushed.
func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".credentials-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	if err := errors.Join(f.Chmod(credentialsMode), writeSynced(f, content)); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func writeSynced(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReadCredentials reads the default profile of a credentials file. Errors:
// fs.ErrNotExist; ErrInvalid if the profile or one of its keys is missing, or
// if others than the owner may read the file.
func ReadCredentials(path string) (Credentials, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Credentials{}, fmt.Errorf("read credentials: %s may be read by others (mode %04o, want 0600): %w",
			path, info.Mode().Perm(), lockstep.ErrInvalid)
	}
	content, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c := parseCredentials(content)
	if c.AccessKeyID == "" || c.SecretKey.IsZero() {
		return Credentials{}, fmt.Errorf("read credentials: %s has no default profile with %s and %s: %w",
			path, keyIDSetting, secretSetting, lockstep.ErrInvalid)
	}
	return c, nil
}

func parseCredentials(content []byte) Credentials {
	var c Credentials
	inDefault := false
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			inDefault = line == defaultProfile
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !inDefault || !found {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case keyIDSetting:
			c.AccessKeyID = value
		case secretSetting:
			c.SecretKey = lockstep.StringValue(value)
		case tokenSetting:
			c.SessionToken = value
		}
	}
	return c
}
