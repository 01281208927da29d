//go:build !linux

package testserver

import "syscall"

// dieWithParent does nothing here: only Linux can kill a child whose parent
// ends. A test binary that ends in a panic may leave its servers behind.
func dieWithParent(*syscall.SysProcAttr) {}
