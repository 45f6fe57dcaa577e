//go:build !linux

package custom

import "syscall"

// ownGroup puts a child into a group of its own, so that it can be killed with
// its children.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
