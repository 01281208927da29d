//go:build !unix

package deliver

import "syscall"

// isClosedByPeer cannot be told here: the request is written, and fails.
func isClosedByPeer(syscall.RawConn) bool { return false }
