// Command testsum reads the output of `go test -json` and shows it to people:
// one line for each package as it ends, all that a failed test said, and at
// the end the counts, the attributes that tests set (t.Attr), each skipped
// test by name, and once more, short, what each failed test complained of. It
// exits 1 if anything failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json` (see `go doc test2json`); a build that
// fails adds lines with an ImportPath.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Key        string
	Value      string
	Elapsed    float64
}

// summary is what has been seen so far.
type summary struct {
	out io.Writer

	passed, failed, packages int
	badPackages              []string
	skipped, attributes      []string
	complaints               []string
	said                     map[string][]string // output by test
	conformance              table
}

func main() {
	s := &summary{out: os.Stdout, said: make(map[string][]string)}
	begin := time.Now()
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.report(time.Since(begin)) {
		os.Exit(1)
	}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(s.out, "%s", line) // the go command's own words
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Action == "build-output" {
			key = "build"
		}
		s.said[key] = append(s.said[key], e.Output)
	case "build-fail":
		fmt.Fprint(s.out, strings.Join(s.said["build"], ""))
		delete(s.said, "build")
	case "attr":
		if s.conformance.take(e) {
			return
		}
		s.attributes = append(s.attributes, fmt.Sprintf("%s %s: %s %s", e.Package, e.Test, e.Key, e.Value))
	case "pass", "fail", "skip":
		s.ended(e, key)
	}
}

func (s *summary) ended(e event, key string) {
	said := s.said[key]
	delete(s.said, key)
	if e.Test == "" {
		s.packageEnded(e, said)
		return
	}
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped = append(s.skipped, e.Package+" "+e.Test)
	case "fail":
		s.failed++
		fmt.Fprintf(s.out, "FAIL  %s %s\n%s", e.Package, e.Test, strings.Join(said, ""))
		s.complaints = append(s.complaints, "fail  "+e.Package+" "+e.Test)
		s.complaints = append(s.complaints, complaints(said)...)
	}
}

// What is repeated at the end of a failed test: so many lines, so long.
const (
	maxComplaints = 6
	maxComplaint  = 400
)

// reported is how the testing package begins what a test reports.
var reported = regexp.MustCompile(`^\s+\w+\.go:\d+: `)

// complaints are the first lines that a test reported by itself: a server's log,
// of which a failed test may show a lot, is not among them.
func complaints(said []string) []string {
	var out []string
	for _, line := range said {
		if !reported.MatchString(line) || strings.Contains(line, ": log of ") {
			continue
		}
		line = strings.TrimRight(line, "\n")
		out = append(out, line[:min(len(line), maxComplaint)])
		if len(out) == maxComplaints {
			break
		}
	}
	return out
}

func (s *summary) packageEnded(e event, said []string) {
	if e.Action == "skip" {
		return // no test files
	}
	s.packages++
	verdict := "ok  "
	if e.Action == "fail" {
		verdict = "FAIL"
		s.badPackages = append(s.badPackages, e.Package)
		fmt.Fprint(s.out, strings.Join(said, ""))
		s.flush(e.Package)
	}
	fmt.Fprintf(s.out, "%s  %-40s %7.2fs\n", verdict, e.Package, e.Elapsed)
}

// flush shows what tests said that never ended: the package hung or crashed.
func (s *summary) flush(pkg string) {
	for key, said := range s.said {
		if strings.HasPrefix(key, pkg+" ") {
			fmt.Fprintf(s.out, "UNFINISHED  %s\n%s", key, strings.Join(said, ""))
			delete(s.said, key)
		}
	}
}

// report prints the end and tells whether all is well.
func (s *summary) report(took time.Duration) bool {
	fmt.Fprintln(s.out)
	s.conformance.print(s.out)
	for _, a := range s.attributes {
		fmt.Fprintln(s.out, "     ", a)
	}
	slices.Sort(s.skipped)
	for _, t := range s.skipped {
		fmt.Fprintln(s.out, "skip ", t)
	}
	for _, p := range s.badPackages {
		fmt.Fprintln(s.out, "FAIL ", p)
	}
	for _, line := range s.complaints {
		fmt.Fprintln(s.out, line)
	}
	fmt.Fprintf(s.out, "packages=%d tests=%d failed=%d skipped=%d in %s\n",
		s.packages, s.passed+s.failed, s.failed, len(s.skipped), took.Round(time.Second))
	return s.failed == 0 && len(s.badPackages) == 0 && s.passed > 0
}
