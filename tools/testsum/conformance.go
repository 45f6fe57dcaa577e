package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is what came of the rotators' conformance suite: a row a case, a column
// a run of the suite. The zero table is empty.
type table struct {
	cases, runs []string
	came        map[[2]string]string // by case and run
}

// take notes one attribute of the suite, "case=what came of it".
func (t *table) take(e event) bool {
	if e.Key != "conformance" {
		return false
	}
	name, came, _ := strings.Cut(e.Value, "=")
	run := path.Base(e.Package) + ": " + strings.TrimPrefix(strings.TrimPrefix(e.Test, "TestConformance"), "/")
	if strings.HasSuffix(run, ": ") || strings.HasPrefix(e.Test, "TestConformanceOf") || !strings.HasPrefix(e.Test, "TestConformance") {
		run = path.Base(e.Package) + ": " + e.Test
	}
	if !slices.Contains(t.cases, name) {
		t.cases = append(t.cases, name)
	}
	if !slices.Contains(t.runs, run) {
		t.runs = append(t.runs, run)
	}
	if t.came == nil {
		t.came = make(map[[2]string]string)
	}
	t.came[[2]string{name, run}] = came
	return true
}

// print writes the table: the columns are numbered, their names stand above.
func (t *table) print(out io.Writer) {
	if len(t.runs) == 0 {
		return
	}
	fmt.Fprintln(out, "conformance of the rotators (-: the target has no such thing)")
	slices.Sort(t.runs)
	for i, r := range t.runs {
		fmt.Fprintf(out, "  %2d  %s\n", i+1, r)
	}
	width := 0
	for _, c := range t.cases {
		width = max(width, utf8.RuneCountInString(c))
	}
	fmt.Fprintf(out, "  %-*s", width, "")
	for i := range t.runs {
		fmt.Fprintf(out, " %4d", i+1)
	}
	fmt.Fprintln(out)
	for _, c := range t.cases {
		fmt.Fprintf(out, "  %-*s", width, c)
		for _, r := range t.runs {
			fmt.Fprintf(out, " %4s", t.came[[2]string{c, r}])
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
}
