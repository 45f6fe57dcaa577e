package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
)

// json tells whether the output is for programs. Errors: an unknown form.
func (t *target) json() (bool, error) {
	switch t.output {
	case "table", "":
		return false, nil
	case "json":
		return true, nil
	}
	return false, usagef("-o %q: table or json", t.output)
}

// show prints v as JSON, or by the table function.
func (t *target) show(cmd *cobra.Command, v any, table func(w io.Writer)) error {
	asJSON, err := t.json()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// row writes one row of a table.
func row(w io.Writer, cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }

// when shows a time to people: local, to the second; a dash for none.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func whenPtr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return when(*t)
}

// took shows a duration to people.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "-"
	}
	return to.Sub(from).Round(100 * time.Microsecond).String()
}

// short is the beginning of a version id, enough for people.
func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// plain takes the SDK's wrapping off an error of the server: its own words are
// what the user needs.
func plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}
