package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lockstep/auth/policy"
	"lockstep/client/admin"
)

func newPolicy(t *target) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Write policies in the IAM language", RunE: needSubcommand}
	cmd.AddCommand(newPolicyCreate(t), newPolicyUpdate(t), newPolicyList(t), newPolicyShow(t), newPolicyDelete(t), newPolicyValidate(t))
	return cmd
}

// readDocument reads a policy from a file.
func readDocument(cmd *cobra.Command, flag, file string) (string, error) {
	if file == "" {
		return "", usagef("%s is required; see %s --help", flag, cmd.CommandPath())
	}
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file) // #nosec G304 -- the user names the file
		if err != nil {
			return "", fmt.Errorf("read policy: %w", err)
		}
		defer func() { _ = f.Close() }() // was only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxBytes+1))
	if err != nil {
		return "", fmt.Errorf("read policy: %w", err)
	}
	return string(text), nil
}

// policyFlags are the flags of create and update.
type policyFlags struct{ file, description string }

func (f *policyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "file", "", `file with the policy document; "-" is standard input`)
	cmd.Flags().StringVar(&f.description, "description", "", "what the policy is for")
}

func (f *policyFlags) spec(cmd *cobra.Command, name string) (admin.PolicySpec, error) {
	document, err := readDocument(cmd, "--file", f.file)
	return admin.PolicySpec{Name: name, Description: f.description, Document: document}, err
}

func newPolicyCreate(t *target) *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use:   "create NAME --file FILE",
		Short: "Create a policy, to be attached to users, groups and roles",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(cmd, args[0])
			if err != nil {
				return err
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			p, err := c.CreatePolicy(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return t.show(cmd, p, func(w io.Writer) { row(w, "created policy "+p.Name) })
		},
	}
	f.add(cmd)
	return cmd
}

func newPolicyUpdate(t *target) *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use:   "update NAME --file FILE",
		Short: "Replace a policy, wherever it is attached",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(cmd, args[0])
			if err != nil {
				return err
			}
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			p, err := c.SetPolicy(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return t.show(cmd, p, func(w io.Writer) { row(w, "updated policy "+p.Name) })
		},
	}
	f.add(cmd)
	return cmd
}

func newPolicyList(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List policies",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			policies, err := c.Policies(cmd.Context())
			if err != nil {
				return err
			}
			return t.show(cmd, policies, func(w io.Writer) {
				row(w, "NAME", "CHANGED", "DESCRIPTION")
				for _, p := range policies {
					row(w, p.Name, when(p.Changed), firstOf(p.Description, "-"))
				}
			})
		},
	}
}

func newPolicyShow(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a policy and what it is attached to",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			p, err := c.Policy(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return t.show(cmd, p, func(w io.Writer) {
				row(w, "policy", p.Name)
				row(w, "arn", p.ARN)
				row(w, "description", firstOf(p.Description, "-"))
				row(w, "changed", when(p.Changed))
				row(w, "attached to", orDash(p.Holders))
				row(w, p.Document)
			})
		},
	}
}

func newPolicyDelete(_ *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a policy that is attached to nothing",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := adminClient(cmd.Context(), cmd.Flags())
			if err != nil {
				return err
			}
			if err := c.DeletePolicy(cmd.Context(), args[0]); err != nil {
				return err
			}
			return say(cmd, "deleted policy "+args[0])
		},
	}
}

// finding is what policy validate prints.
type finding struct {
	Check   string `json:"check"`
	Fault   bool   `json:"fault"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

func newPolicyValidate(t *target) *cobra.Command {
	var file, kind string
	cmd := &cobra.Command{
		Use:   "validate --file FILE",
		Short: "Say what is wrong with a policy, without a server",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			of, ok := map[string]policy.Kind{
				"identity": policy.IdentityPolicy, "resource": policy.ResourcePolicy, "trust": policy.TrustPolicy,
			}[kind]
			if !ok {
				return usagef("--kind %q: identity, resource or trust", kind)
			}
			document, err := readDocument(cmd, "--file", file)
			if err != nil {
				return err
			}
			found, faulty := findingsOf(document, of)
			err = t.show(cmd, found, func(w io.Writer) {
				for _, f := range found {
					row(w, fmt.Sprintf("%s:%d:%d: %s", file, f.Line, f.Column, f.Message))
				}
				if len(found) == 0 {
					row(w, "nothing is wrong with it")
				}
			})
			if err == nil && faulty {
				err = errReported
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", `file with the policy document; "-" is standard input`)
	cmd.Flags().StringVar(&kind, "kind", "identity", "identity, resource or trust")
	return cmd
}

func findingsOf(document string, kind policy.Kind) (found []finding, faulty bool) {
	parsed, raw := policy.Validate(document, kind)
	if parsed != nil && kind == policy.ResourcePolicy {
		raw = append(raw, parsed.Public()...)
	}
	found = []finding{}
	for _, f := range raw {
		found = append(found, finding{string(f.Check), f.Severity == policy.Fault, f.Line, f.Column, f.Message})
		faulty = faulty || f.Severity == policy.Fault
	}
	return found, faulty
}
