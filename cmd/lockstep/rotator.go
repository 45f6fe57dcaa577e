package main

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"lockstep/client/admin"
	"lockstep/rotators/httptoken"
)

// rotatorFiles are the runner of Lambda functions and the skeletons.
//
//go:embed rotator
var rotatorFiles embed.FS

func newRotator(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "rotator", Short: "Register rotators of your own", RunE: needSubcommand}
	cmd.AddCommand(newRotatorRegister(t), newRotatorList(t), newRotatorShow(t), newRotatorRemove(t), newRotatorNew(), newRotatorCheck(), newRotatorTest(t), newRunLambda())
	return cmd
}

// registration are the flags of register.
type registration struct {
	recipe, webhook, command, caFile, timeout string
	service, loopback, private, dryRun        bool
}

func newRotatorRegister(t *target) *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use:   "register NAME (--recipe FILE | --webhook URL | --exec COMMAND | --nats-service)",
		Short: "Register a rotator of your own; NAME is then what --rotator and RotationLambdaARN take",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.dryRun && r.recipe == "" {
				return usagef("--dry-run goes with --recipe")
			}
			if r.dryRun {
				return checkRecipe(cmd, r.recipe)
			}
			spec, err := r.spec(args[0])
			if err != nil {
				return err
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			made, err := c.CreateRotator(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return t.show(cmd, made, func(w io.Writer) {
				row(w, "registered rotator "+made.Name)
				if made.SigningKey != "" {
					row(w, "signing key "+made.SigningKey)
					row(w, "It is not shown again. Check webhook-signature with it.")
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.recipe, "recipe", "", "file that says how an HTTP API issues, tests and revokes credentials")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what the recipe would do, and register nothing")
	f.StringVar(&r.webhook, "webhook", "", "URL that is called for each step (https)")
	f.StringVar(&r.command, "exec", "", "command that each step runs, by /bin/sh on the worker")
	f.BoolVar(&r.service, "nats-service", false, "a service on NATS answers at lockstep.rotator.NAME.STEP")
	f.StringVar(&r.caFile, "ca-file", "", "PEM file with the authorities to trust at the webhook or the API (default the system's)")
	f.BoolVar(&r.loopback, "allow-loopback", false, "the webhook or the API may be on the worker's own machine")
	f.BoolVar(&r.private, "allow-private", false, "the webhook or the API may be at a private address (10.0.0.0/8 and the like)")
	f.StringVar(&r.timeout, "timeout", "", "how long one step may take, up to 15m (default 1m); a recipe has its own")
	cmd.MarkFlagsMutuallyExclusive("recipe", "webhook", "exec", "nats-service")
	cmd.MarkFlagsOneRequired("recipe", "webhook", "exec", "nats-service")
	return cmd
}

func (r registration) spec(name string) (admin.RotatorSpec, error) {
	spec := admin.RotatorSpec{Name: name, Timeout: r.timeout}
	switch {
	case r.recipe != "":
		text, err := os.ReadFile(r.recipe)
		if err != nil {
			return spec, usagef("read --recipe: %w", err)
		}
		if _, err := httptoken.Parse(r.recipe, string(text)); err != nil {
			return spec, err // with the file's own name
		}
		spec.Kind, spec.Recipe = "recipe", string(text)
	case r.webhook != "":
		spec.Kind, spec.Target = "webhook", r.webhook
	case r.command != "":
		spec.Kind, spec.Target = "exec", r.command
	default:
		spec.Kind = "nats-service"
	}
	if r.loopback {
		spec.Addresses = append(spec.Addresses, "loopback")
	}
	if r.private {
		spec.Addresses = append(spec.Addresses, "private")
	}
	if r.caFile != "" {
		pem, err := os.ReadFile(r.caFile)
		if err != nil {
			return spec, usagef("read --ca-file: %w", err)
		}
		spec.CA = string(pem)
	}
	return spec, nil
}

func newRotatorList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List registered rotators",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			all, err := c.Rotators(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, all, func(w io.Writer) {
				row(w, "NAME", "KIND", "TIMEOUT", "CREATED", "TARGET")
				for _, r := range all {
					row(w, r.Name, r.Kind, r.Timeout, when(r.Created), firstOf(r.Target, "-"))
				}
			})
		},
	}
}

func newRotatorShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a registered rotator",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			r, err := c.Rotator(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, r, func(w io.Writer) {
				row(w, "rotator", r.Name)
				row(w, "arn", r.ARN)
				row(w, "kind", r.Kind)
				row(w, "target", firstOf(r.Target, "-"))
				row(w, "addresses", firstOf(strings.Join(append([]string{"public"}, r.Addresses...), ", "), "-"))
				row(w, "timeout", r.Timeout)
				row(w, "created", when(r.Created))
				row(w, "created by", r.CreatedBy)
				if r.Recipe != "" {
					row(w, "")
					row(w, strings.TrimRight(r.Recipe, "\n"))
				}
			})
		},
	}
}

func newRotatorRemove(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a registered rotator that no secret uses",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeleteRotator(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "removed rotator "+args[0])
		},
	}
}

func newRotatorCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read a recipe and say what it would do; no server is asked",
		Args:  exactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return checkRecipe(cmd, args[0]) },
	}
}

// checkRecipe reads a recipe and says what it would do.
func checkRecipe(cmd *cobra.Command, file string) error {
	text, err := os.ReadFile(file) // #nosec G304 -- the user's own file
	if err != nil {
		return usagef("read recipe: %w", err)
	}
	r, err := httptoken.Parse(file, string(text))
	if err != nil {
		return err
	}
	return say(cmd, strings.Join(r.Describe(), "\n"))
}

// skeleton is a file to begin with.
type skeleton struct {
	embedded, file, command string
	mode                    os.FileMode
}

func newRotatorNew() *cobra.Command {
	var kind, language, dir string
	cmd := &cobra.Command{
		Use:   "new --language python|go|shell",
		Short: "Write the skeleton of a rotator",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if kind != "exec" {
				return usagef("--kind %q: there are skeletons for exec", kind)
			}
			s, ok := map[string]skeleton{
				"python": {"skeleton.py", "rotator.py", "lockstep rotator run-lambda rotator.handler --dir %s", 0o600},
				"go":     {"skeleton.go.txt", "main.go", "%s/rotator", 0o600},
				"shell":  {"skeleton.sh", "rotator.sh", "%s/rotator.sh", 0o700},
			}[language]
			if !ok {
				return usagef("--language %q: python, go or shell", language)
			}
			return s.write(cmd, dir)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "exec", "kind of rotator")
	cmd.Flags().StringVar(&language, "language", "", "python, go or shell")
	cmd.Flags().StringVar(&dir, "dir", ".", "directory to write to; it is made if it is not there")
	return cmd
}

// write writes the skeleton, and never over a file that is there.
func (s skeleton) write(cmd *cobra.Command, dir string) error {
	text, err := rotatorFiles.ReadFile("rotator/" + s.embedded)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	path := filepath.Join(dir, s.file)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, s.mode) // #nosec G304 -- where the user wants it
	if errors.Is(err, os.ErrExist) {
		return usagef("%s is there already; choose another --dir", path)
	}
	if err != nil {
		return fmt.Errorf("write skeleton: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write skeleton: %w", err)
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return say(cmd, "wrote "+path+"\nregister it: lockstep rotator register NAME --exec '"+fmt.Sprintf(s.command, whole)+"'")
}

func newRunLambda() *cobra.Command {
	var dir, python string
	cmd := &cobra.Command{
		Use:   "run-lambda MODULE.HANDLER",
		Short: "Run an AWS Lambda rotation function in Python, unmodified, for one step",
		Long: `Run an AWS Lambda rotation function in Python, unmodified, for one step. It is
what a rotator of the kind exec registers as its command; the event and its
credentials come on standard input. The function finds boto3 configured as it is
in Lambda, and SECRETS_MANAGER_ENDPOINT in its environment.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			module, name, ok := cutLast(args[0], ".")
			if !ok || module == "" || name == "" {
				return usagef("%q is not MODULE.HANDLER, for example lambda_function.lambda_handler", args[0])
			}
			shim, err := rotatorFiles.ReadFile("rotator/lambda.py")
			if err != nil {
				return err
			}
			path, err := exec.LookPath(python)
			if err != nil {
				return fmt.Errorf("find Python: %w", err)
			}
			whole, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			argv := []string{path, "-B", "-c", string(shim), args[0], whole}
			return fmt.Errorf("run Python: %w", syscall.Exec(path, argv, os.Environ())) // #nosec G204 -- the user's Python
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the module")
	cmd.Flags().StringVar(&python, "python", "python3", "Python with boto3")
	return cmd
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
