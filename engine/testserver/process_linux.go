package testserver

import "syscall"

// dieWithParent has the kernel kill a child whose test binary dies, by a panic
// or by the test time-out, before it could stop it.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
