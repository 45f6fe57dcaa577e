package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockstep"
	"lockstep/audit"
	"lockstep/internal/node"
)

// auditPlace is where a log is, by the flags that the commands share.
type auditPlace struct {
	dirs []string
}

func (p *auditPlace) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&p.dirs, "dir", nil, "directory of an audit log (default audit in the data directory); may be repeated")
}

func (p *auditPlace) all(cmd *cobra.Command) []string {
	if len(p.dirs) > 0 {
		return p.dirs
	}
	return []string{filepath.Join(dataDirOf(cmd.Flags()), "audit")}
}

func newAudit(t *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Verify and search the audit log",
		Long: `Verify and search the audit log: who did what, to which secret and version,
from where, and what came of it. The log's files are read as they are; the
server may be running.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(t), newAuditQuery(t), newAuditTail(t), newAuditHead(t))
	return cmd
}

// verifying are the flags of audit verify.
type verifying struct {
	place   auditPlace
	store   string
	rootKey string
	heads   []string
}

func newAuditVerify(t *target) *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Name every record that was changed, dropped, reordered or cut off; exit 1 if there is one",
		Long: `Verify reads every record and compares it with the signed heads in the store
(or those that "lockstep audit head" wrote, kept elsewhere). It names each record
that was changed, dropped, reordered or cut off at the end, and exits with 1 if
there is one.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(t, cmd) },
	}
	v.place.flags(cmd)
	cmd.Flags().StringVar(&v.store, "store", "", "store of the installation (default sqlite in the data directory); none to rest on --head alone")
	cmd.Flags().StringVar(&v.rootKey, "root-key", "", "root key: file:PATH or pkcs11:… (default the one that the store remembers)")
	cmd.Flags().StringSliceVar(&v.heads, "head", nil, "file that audit head wrote; may be repeated")
	return cmd
}

func (v *verifying) run(t *target, cmd *cobra.Command) error {
	trust, err := v.trust(cmd)
	if err != nil {
		return err
	}
	report, err := v.verify(cmd.Context(), v.place.all(cmd), trust)
	if err != nil {
		return err
	}
	err = t.show(cmd, report, func(w io.Writer) {
		for _, c := range report.Chains {
			_, _ = fmt.Fprintf(w, "%s: records %d to %d, %d of them read, %d signed checkpoints, newest head at %d\n",
				c.Node, c.First, c.Last, c.Entries, c.Checkpoints, c.Head)
		}
		for _, f := range report.Findings {
			_, _ = fmt.Fprintln(w, f)
		}
		if report.More > 0 {
			_, _ = fmt.Fprintf(w, "and %d more\n", report.More)
		}
		if report.OK() {
			_, _ = fmt.Fprintln(w, "every record is what was written")
		}
	})
	if err == nil && !report.OK() {
		err = errReported
	}
	return err
}

// tornPause is how long verify gives a running server to finish a write.
const tornPause = 200 * time.Millisecond

// verify looks again where a write may just be under way.
func (v *verifying) verify(ctx context.Context, dirs []string, trust audit.Trust) (audit.Report, error) {
	for try := 0; ; try++ {
		report, err := audit.Verify(dirs, trust)
		onlyTorn := !slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Kind != audit.Torn })
		if err != nil || report.OK() || !onlyTorn || try == 3 {
			return report, err
		}
		timer := time.NewTimer(tornPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return report, ctx.Err()
		case <-timer.C:
		}
	}
}

// trust reads what the log is held against.
func (v *verifying) trust(cmd *cobra.Command) (audit.Trust, error) {
	trust := audit.Trust{Public: audit.PublicKeys{}}
	if v.store != "none" {
		var keyless, err error
		trust, keyless, err = node.AuditTrust(cmd.Context(), node.Config{DataDir: dataDirOf(cmd.Flags()), Store: v.store, RootKey: v.rootKey})
		if err != nil {
			return trust, err
		}
		if keyless != nil {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "lockstep: without the root key a rewritten record is named by a range: %v\n", keyless)
		}
	}
	for _, path := range v.heads {
		if err := readHeads(path, &trust); err != nil {
			return trust, err
		}
	}
	if v.store == "none" && len(v.heads) == 0 {
		return trust, usagef("--store none needs --head")
	}
	return trust, nil
}

// exported is what audit head writes, to be kept elsewhere.
type exported struct {
	Heads []audit.Head `json:"heads"`
	// Keys are the public keys in DER form, by their ids.
	Keys map[string][]byte `json:"keys"`
}

func readHeads(path string, trust *audit.Trust) error {
	text, err := os.ReadFile(path) // #nosec G304 -- the user names the file
	if err != nil {
		return usagef("read --head: %w", err)
	}
	var e exported
	if err := json.Unmarshal(text, &e); err != nil {
		return usagef("read --head %s: %w", path, err)
	}
	for id, der := range e.Keys {
		public, err := node.ParseAuditKey(der)
		if err != nil {
			return usagef("read --head %s: %w", path, err)
		}
		// What was kept elsewhere outranks the store.
		if known := trust.Public[id]; known != nil && !known.Equal(public) {
			return fmt.Errorf("the store's public key %s is not the one in %s: %w", id, path, lockstep.ErrDecrypt)
		}
		trust.Public[id] = public
	}
	trust.Heads = append(trust.Heads, e.Heads...)
	return nil
}

func newAuditHead(_ *target) *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "head",
		Short: "Print the newest signed heads and public keys, to be kept elsewhere",
		Long: `Print the newest signed head of each node's log and the public keys, as JSON.
Kept where the server's administrator cannot write, it proves later, by
"lockstep audit verify --head FILE", that nothing before it was changed or cut
off, even if the log and the store were rewritten together.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			trust, _, err := node.AuditTrust(cmd.Context(), node.Config{DataDir: dataDirOf(cmd.Flags()), Store: store})
			if err != nil {
				return err
			}
			return printHeads(cmd.OutOrStdout(), trust)
		},
	}
	cmd.Flags().StringVar(&store, "store", "", "store of the installation (default sqlite in the data directory)")
	return cmd
}

func printHeads(w io.Writer, trust audit.Trust) error {
	out := exported{Heads: trust.Heads, Keys: make(map[string][]byte)}
	for id, public := range trust.Public {
		der, err := node.EncodeAuditKey(public)
		if err != nil {
			return err
		}
		out.Keys[id] = der
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// querying are the flags of audit query.
type querying struct {
	place auditPlace
	query audit.Query
	since string
	until string
}

func newAuditQuery(t *target) *cobra.Command {
	var q querying
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Search the audit log: who read which version, when",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return q.run(t, cmd) },
	}
	q.place.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.query.Secret, "secret", "", "name or ARN of a secret")
	f.StringVar(&q.query.Principal, "principal", "", "ARN of who did it, or a user's name")
	f.StringVar(&q.query.Event, "event", "", "operation, for example GetSecretValue")
	f.StringVar(&q.since, "since", "", "from then on: RFC 3339, or a duration such as 24h")
	f.StringVar(&q.until, "until", "", "before then: RFC 3339, or a duration ago")
	f.BoolVar(&q.query.DeniedOnly, "denied", false, "only what was refused or failed")
	f.IntVar(&q.query.Limit, "limit", 1000, "the newest so many; 0 for all")
	return cmd
}

func (q *querying) run(t *target, cmd *cobra.Command) error {
	now := time.Now()
	var err error
	if q.query.Since, err = momentOf("--since", q.since, now); err != nil {
		return err
	}
	if q.query.Until, err = momentOf("--until", q.until, now); err != nil {
		return err
	}
	found := []audit.Record{}
	for _, dir := range q.place.all(cmd) {
		list, err := audit.Find(dir, q.query)
		if err != nil {
			return err
		}
		found = append(found, list...)
	}
	slices.SortStableFunc(found, func(a, b audit.Record) int { return a.Time.Compare(b.Time) })
	if n := q.query.Limit; n > 0 && len(found) > n {
		found = found[len(found)-n:]
	}
	return t.show(cmd, found, func(w io.Writer) {
		row(w, "TIME", "WHO", "EVENT", "SECRET OR RESOURCE", "VERSION", "FROM", "RESULT")
		for _, r := range found {
			auditRows(w, r)
		}
	})
}

// momentOf reads a time, or a duration before now.
func momentOf(flag, given string, now time.Time) (time.Time, error) {
	if given == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(given); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, given)
	if err != nil {
		return at, usagef("%s %q: a time such as 2030-01-02T15:04:05Z, or a duration such as 24h", flag, given)
	}
	return at, nil
}

// auditRows shows a record: a row for each thing that it is about.
func auditRows(w io.Writer, r audit.Record) {
	who := r.Identity.Name
	for _, name := range []string{r.Identity.ARN, r.Identity.AccessKeyID, "-"} {
		if who == "" {
			who = name
		}
	}
	about := r.Resources
	if len(about) == 0 {
		about = []audit.Resource{{ARN: "-"}}
	}
	for _, at := range about {
		result := "ok"
		if code := firstOf(at.ErrorCode, r.ErrorCode); code != "" {
			result = code
		}
		name := at.ARN
		if arn, ok := lockstep.ParseSecretARN(at.ARN); ok {
			name = arn.Resource
		}
		row(w, when(r.Time), who, r.Name, name, dash(short(at.VersionID)), dash(r.Address), result)
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func newAuditTail(t *target) *cobra.Command {
	var place auditPlace
	var last int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the newest records, and those that follow, until interrupted",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := auditTail(t, cmd, place.all(cmd), last)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	place.flags(cmd)
	cmd.Flags().IntVar(&last, "last", 10, "how many of the newest are shown first")
	return cmd
}

func auditTail(t *target, cmd *cobra.Command, dirs []string, last int) error {
	asJSON, err := t.json()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	lines, failed := make(chan audit.Line), make(chan error, 1)
	chains := 0
	for _, dir := range dirs {
		found, err := audit.Chains(dir)
		if err != nil {
			return err
		}
		for name, files := range found {
			chains++
			follow := audit.Follow(filepath.Join(dir, name), endOf(files, last), nil)
			go func() {
				defer func() { _ = follow.Close() }()
				pump(ctx, follow, lines, failed)
			}()
		}
	}
	if chains == 0 {
		return fmt.Errorf("no audit log in %s: %w", strings.Join(dirs, ", "), lockstep.ErrNotFound)
	}
	for {
		select {
		case err := <-failed:
			return err
		case line := <-lines:
			showLine(cmd.OutOrStdout(), line, asJSON)
		}
	}
}

// endOf is the entry after which tail begins.
func endOf(files []audit.File, last int) uint64 {
	end := audit.LastSeq(files)
	if end < uint64(max(last, 0)) { // #nosec G115 -- not negative
		return 0
	}
	return end - uint64(max(last, 0)) // #nosec G115 -- not negative
}

func pump(ctx context.Context, from *audit.Follower, to chan<- audit.Line, failed chan<- error) {
	for {
		line, err := from.Next(ctx)
		if err != nil {
			select {
			case failed <- err:
			default:
			}
			return
		}
		select {
		case to <- line:
		case <-ctx.Done():
			return
		}
	}
}

func showLine(w io.Writer, line audit.Line, asJSON bool) {
	r, ok := audit.ReadRecord(line.Text)
	switch {
	case !ok:
	case asJSON:
		_, _ = fmt.Fprintf(w, "%s\n", line.Text)
	default:
		auditRows(w, r)
	}
}
