// Package doctest keeps the documents true: its test runs the commands of
// README.md and docs/ as a reader would, against a real server and, where the
// text uses one, a real PostgreSQL.
//
// A fenced block whose language is "sh" is run. All such blocks of one file are
// one shell script, in order, in an empty directory, and each must succeed. A
// block "sh background" is started and left running (a server, a watcher). Any
// other block is only text: output, or commands that a test cannot run.
//
// The one thing that differs from a reader's shell is that "lockstep serve"
// listens on free ports, so that tests disturb nobody. Where a file uses psql,
// PGHOST, PGPORT, PGUSER and PGPASSWORD are a superuser's of a private server.
package doctest
