// Package sqlstore is the storage contract of package store on SQL: one
// implementation, two dialects.
//
// The statements are written once, for both. What differs is behind a thin
// seam (session): a few tokens in the text of a statement are replaced per
// dialect (@now the store's clock, @lock and @skip the row locks that SQLite
// neither has nor needs, @newnum a fresh row number), and two engines decide
// what a transaction is.
//
//   - SQLite is the embedded default. One goroutine owns the only connection
//     that writes. Updates queue up for it; it takes all that wait, runs each in
//     a savepoint of its own inside one transaction, and answers after the one
//     commit, so that many writers share the price of one fsync. An Update that
//     fails is rolled back to its savepoint alone. Views use a pool of read-only
//     connections, each View on one snapshot. One process uses a database file
//     at a time: signals do not cross processes.
//   - PostgreSQL is for more than one machine. Updates are READ COMMITTED with
//     row locks, and are run again from their start after a serialization
//     failure or a deadlock; Views are REPEATABLE READ READ ONLY. Signals cross
//     nodes by LISTEN and NOTIFY, sent inside the transaction.
//
// Rows are shaped so that nothing scans what nobody waits for: each question
// that is asked again and again ("what is due", "what is unsent", "which Run is
// open") has a partial index that holds its answers alone.
//
// Migrations are embedded and run forward at Open under a lock. They only
// expand.
package sqlstore
