package mysql

// LockName is the name of the lock that a change of a user takes.
func LockName(user string) string { return lockName(user) }
