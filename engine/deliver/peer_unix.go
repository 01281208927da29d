//go:build unix

package deliver

import "syscall"

// peer is the other end of a connection. One goroutine at a time may ask it.
type peer struct {
	raw    syscall.RawConn
	peek   func(fd uintptr)
	closed bool
	silent bool
}

func newPeer(raw syscall.RawConn) *peer {
	p := &peer{raw: raw}
	var one [1]byte
	p.peek = func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.silent = err == syscall.EAGAIN                             //nolint:errorlint // an errno as it is
		p.closed = n == 0 && err == nil || err == syscall.ECONNRESET //nolint:errorlint // an errno as it is
	}
	return p
}

// hasClosed reports whether the peer has closed the connection, of which all else
// was read. It does not block, and takes nothing from the connection.
func (p *peer) hasClosed() bool {
	// Not raw.Read: that waits for the reader which net/http keeps.
	return p.raw.Control(p.peek) == nil && p.closed
}

// isSilent reports whether the connection is open, and the peer has sent nothing
// that was not read.
func (p *peer) isSilent() bool { return p.raw.Control(p.peek) == nil && p.silent }
