package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockstep/auth"
	"lockstep/internal/localca"
)

// defaultDataDir is used by serve when nothing else is said.
const defaultDataDir = "lockstep-data"

// connection is what a running server leaves in its data directory, so that
// the command line finds it.
type connection struct {
	Endpoint string `json:"endpoint"`
	NATSURL  string `json:"natsUrl"`
	Region   string `json:"region"`
	// CAFile is set if the authority is not in the data directory.
	CAFile string `json:"caFile,omitempty"`
}

const connectionFile = "endpoint.json"

// writeConnection replaces the file as a whole.
func writeConnection(dir string, c connection) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write endpoint file: %w", err)
	}
	path := filepath.Join(dir, connectionFile)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write endpoint file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write endpoint file: %w", err)
	}
	return nil
}

// target is which server a command talks to, and in which form it answers.
type target struct {
	output string
}

// flags adds the flags that every command has.
func (t *target) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.String("data-dir", "", "data directory of the server (default $LOCKSTEP_DATA_DIR, else ./"+defaultDataDir+")")
	f.StringVarP(&t.output, "output", "o", "table", "output for people (table) or for programs (json)")
}

// dataDirOf is --data-dir, else $LOCKSTEP_DATA_DIR, else the default.
func dataDirOf(flags *pflag.FlagSet) string {
	if dir, _ := flags.GetString("data-dir"); dir != "" {
		return dir
	}
	if dir := os.Getenv("LOCKSTEP_DATA_DIR"); dir != "" {
		return dir
	}
	return defaultDataDir
}

// environment is how to reach a server, in the variables that every AWS SDK
// reads.
type environment struct {
	Endpoint string
	NATSURL  string
	Region   string
	CAFile   string
	Keys     auth.Credentials
}

// errNoServer says what to do when no server is found.
var errNoServer = errors.New("no server found: start one with \"lockstep serve\", name its --data-dir or $LOCKSTEP_DATA_DIR, or set the AWS_* variables")

// environmentOf finds the server: by --data-dir or $LOCKSTEP_DATA_DIR if one
// is given, else by the AWS_* variables, else in the default directory.
func environmentOf(flags *pflag.FlagSet) (environment, error) {
	dir, _ := flags.GetString("data-dir")
	named := dir != "" || os.Getenv("LOCKSTEP_DATA_DIR") != ""
	if !named && os.Getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER") != "" {
		return environment{
			Endpoint: os.Getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER"), NATSURL: os.Getenv("LOCKSTEP_NATS_URL"),
			Region: firstOf(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"),
			CAFile: os.Getenv("AWS_CA_BUNDLE"),
		}, nil
	}
	return environmentIn(dataDirOf(flags))
}

// environmentIn reads what a server left in its data directory.
func environmentIn(dir string) (environment, error) {
	raw, err := os.ReadFile(filepath.Join(dir, connectionFile)) // #nosec G304 -- the user names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return environment{}, fmt.Errorf("%s has no %s: %w", dir, connectionFile, errNoServer)
	}
	if err != nil {
		return environment{}, fmt.Errorf("read data directory: %w", err)
	}
	var c connection
	if err := json.Unmarshal(raw, &c); err != nil {
		return environment{}, fmt.Errorf("read %s: %w", connectionFile, err)
	}
	creds, err := auth.ReadCredentials(filepath.Join(dir, "credentials"))
	if err != nil {
		return environment{}, fmt.Errorf("read credentials: %w", err)
	}
	env := environment{Endpoint: c.Endpoint, NATSURL: c.NATSURL, Region: c.Region, Keys: creds}
	if strings.HasPrefix(c.Endpoint, "https:") || c.NATSURL != "" {
		ca, err := filepath.Abs(firstOf(c.CAFile, filepath.Join(dir, localca.CertFile)))
		if err != nil {
			return environment{}, fmt.Errorf("find CA file: %w", err)
		}
		env.CAFile = ca
	}
	return env, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// newEnv prints the shell exports.
func newEnv(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print shell exports for AWS clients",
		Long: `Print shell exports with which AWS SDKs and the AWS CLI find this server:
  eval "$(lockstep env)"
  aws secretsmanager list-secrets --endpoint-url $AWS_ENDPOINT_URL_SECRETS_MANAGER

The endpoint is set for each service by itself: AWS_ENDPOINT_URL alone does not
reach every part of every SDK.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := environmentIn(dataDirOf(cmd.Flags()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), env.exports())
			return err
		},
	}
}

// exports are the lines for a POSIX shell.
func (e environment) exports() string {
	var b strings.Builder
	for _, v := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", e.Keys.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", e.Keys.SecretKey.Reveal()},
		{"AWS_REGION", e.Region},
		{"AWS_DEFAULT_REGION", e.Region},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", e.Endpoint},
		{"AWS_ENDPOINT_URL_KMS", e.Endpoint},
		{"AWS_ENDPOINT_URL_STS", e.Endpoint},
		{"AWS_CA_BUNDLE", e.CAFile},
		{"NODE_EXTRA_CA_CERTS", e.CAFile}, // Node.js does not look at AWS_CA_BUNDLE
		{"LOCKSTEP_NATS_URL", e.NATSURL},
	} {
		if v.value == "" {
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", v.name, shellQuote(v.value))
	}
	// A session token of another account would be sent along with these keys.
	b.WriteString("unset AWS_SESSION_TOKEN AWS_PROFILE\n")
	return b.String()
}

// shellQuote quotes what a POSIX shell would not take as one plain word.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/=:.,_-@", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
