//go:build !unix

package deliver

import "syscall"

// peer is the other end of a connection.
type peer struct{}

func newPeer(syscall.RawConn) *peer { return &peer{} }

// hasClosed cannot be told here: the request is written, and fails.
func (*peer) hasClosed() bool { return false }

// isSilent cannot be told either.
func (*peer) isSilent() bool { return true }
