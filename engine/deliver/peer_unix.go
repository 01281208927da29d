//go:build unix

package deliver

import "syscall"

// isClosedByPeer reports whether the peer has closed a connection of which all
// else was read. It does not block, and takes nothing from the connection.
func isClosedByPeer(raw syscall.RawConn) (closed bool) {
	// Not raw.Read: that waits for the reader which net/http keeps.
	err := raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err == syscall.ECONNRESET //nolint:errorlint // an errno as it is
	})
	return err == nil && closed
}
