// Package listen opens the ports of HTTP servers so that connections which do
// nothing cannot take them away from those that ask something.
package listen

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// The bounds of how many connections a listener has at most.
const (
	minConnections = 4
	maxConnections = 256
	// share of the process' descriptors that one listener's connections take.
	share = 8
)

// roomTimeout is how long a new connection waits for the others.
const roomTimeout = time.Second

// spareDescriptors are kept by each listener for connections to be accepted
// when the process has no other descriptor left.
const spareDescriptors = 4

// Listener is a TCP listener with a bounded number of connections: an eighth of
// the descriptors that the process may have, at least 4 and at most 256. Where a
// connection is one too many, the one that has waited longest for a request is
// closed for it; where none waits for a second, the new one is closed.
//
// It also keeps a few descriptors in reserve, so that connections are accepted
// when the process has run out of them. Close releases all.
type Listener struct {
	net.Listener
	most int

	mu     sync.Mutex
	open   []*conn // in the order in which they were accepted, or last answered
	spare  []*os.File
	closed bool
	// changed receives when a connection begins to wait, or is closed.
	changed chan struct{}
}

// TCP listens on a TCP address such as "0.0.0.0:8080". Give the server that
// accepts from it to [Listener.Protect].
func TCP(address string) (*Listener, error) {
	inner, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: inner, most: min(max(descriptors()/share, minConnections), maxConnections), changed: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	return l, nil
}

// Accept waits for the next connection that there is room for.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		switch {
		case err != nil:
			outOfDescriptors := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
			if !outOfDescriptors || !l.makeRoom() {
				return nil, err
			}
		case !l.waitForRoom():
			_ = accepted.Close()
		default:
			return l.add(accepted), nil
		}
	}
}

// Close stops listening. Connections stay open.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, f := range l.spare {
		_ = f.Close()
	}
	l.spare = nil
	return l.Listener.Close()
}

// Protect has a server tell the listener which of its connections are being
// answered. Call it before the server serves, and once.
func (l *Listener) Protect(s *http.Server) {
	type key struct{}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok { // of TLS
			c = wrapped.NetConn()
		}
		return context.WithValue(ctx, key{}, c)
	}
	inner := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(key{}).(*conn); ok {
			l.answering(c, 1)
			defer l.answering(c, -1)
		}
		inner.ServeHTTP(w, r)
	})
}

// answering notes that a request of a connection begins or ends to be answered.
func (l *Listener) answering(c *conn, change int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.requests += change
	if at := slices.Index(l.open, c); at >= 0 && c.requests == 0 {
		l.open = append(slices.Delete(l.open, at, at+1), c)
		l.signal()
	}
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	listener *Listener
	requests int // that are being answered; none: it waits for one, or for the rest of one
	once     sync.Once
}

// Close closes the connection and makes room for another.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.listener.remove(c) })
	return err
}

// CloseWrite lets the server say that it is done, so that the client reads the
// answer before the connection is closed.
func (c *conn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// waitForRoom waits until another connection may be had, for a second at most,
// and reports whether it may.
func (l *Listener) waitForRoom() bool {
	var expired <-chan time.Time
	for l.isFull() && !l.closeWaiting() {
		if expired == nil {
			expired = time.After(roomTimeout)
		}
		select {
		case <-l.changed:
		case <-expired:
			return false
		}
	}
	return true
}

func (l *Listener) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) >= l.most
}

func (l *Listener) signal() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *Listener) add(accepted net.Conn) *conn {
	c := &conn{Conn: accepted, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, c)
	return c
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(other *conn) bool { return other == c })
	l.signal()
	l.refill()
}

// makeRoom gives a descriptor free, if there is one to give.
func (l *Listener) makeRoom() bool {
	l.mu.Lock()
	if last := len(l.spare) - 1; last >= 0 {
		defer l.mu.Unlock()
		_ = l.spare[last].Close()
		l.spare = l.spare[:last]
		return true
	}
	l.mu.Unlock()
	return l.closeWaiting()
}

// closeWaiting closes the connection that has waited longest for a request.
func (l *Listener) closeWaiting() bool {
	l.mu.Lock()
	at := slices.IndexFunc(l.open, func(c *conn) bool { return c.requests == 0 })
	if at < 0 {
		l.mu.Unlock()
		return false
	}
	longest := l.open[at]
	l.mu.Unlock()
	_ = longest.Close() // the server notices that it cannot read
	return true
}

// refill opens as many spare descriptors as it can.
func (l *Listener) refill() {
	for !l.closed && len(l.spare) < spareDescriptors {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return
		}
		l.spare = append(l.spare, f)
	}
}
