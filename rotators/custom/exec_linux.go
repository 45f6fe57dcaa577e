package custom

import "syscall"

// ownGroup puts a child into a group of its own, so that it can be killed with
// its children. It dies with the worker, so that a killed worker leaves no step
// running beside the next one's.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
