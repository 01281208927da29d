package deliver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"
)

// targetConn is a connection to the target. It writes nothing once the target has
// closed it, so that a request can be sent on another, and counts what it wrote.
type targetConn struct {
	net.Conn
	raw     syscall.RawConn
	hasRead atomic.Bool // something was read since the last write
	broken  atomic.Bool // a write failed
	written atomic.Int64
}

func (c *targetConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.hasRead.Store(true)
	return n, err
}

func (c *targetConn) Write(b []byte) (int, error) {
	if c.broken.Load() || c.hasRead.Swap(false) && isClosedByPeer(c.raw) {
		c.broken.Store(true)
		return 0, io.ErrClosedPipe
	}
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

var dialer = net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &targetConn{Conn: c, raw: raw}, nil
}

// attempt tells how far a request got.
type attempt struct {
	current atomic.Pointer[use]
}

// use is a connection that the request was given.
type use struct {
	conn    *targetConn
	secured bool
	reused  bool
	before  int64       // what others had written to it
	given   atomic.Bool // the request was given to it whole
}

// trace returns a context under which the attempt follows one request.
func (a *attempt) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.current.Store(nil) },
		GotConn: func(info httptrace.GotConnInfo) {
			u := &use{conn: below(info.Conn), reused: info.Reused}
			u.secured = net.Conn(u.conn) != info.Conn
			u.before = u.conn.written.Load()
			a.current.Store(u)
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if u := a.current.Load(); u != nil && info.Err == nil {
				u.given.Store(true)
			}
		},
	})
}

// below returns the connection that dial made, from below TLS.
func below(conn net.Conn) *targetConn {
	for {
		if c, ok := conn.(*targetConn); ok {
			return c
		}
		conn = conn.(interface{ NetConn() net.Conn }).NetConn()
	}
}

// connected reports whether there was a connection to send the request on.
func (a *attempt) connected() bool { return a.current.Load() != nil }

// neverArrived reports that a kept connection turned out to be closed before
// anything of the request was written to it.
func (a *attempt) neverArrived() bool {
	u := a.current.Load()
	return u != nil && u.reused && u.conn.written.Load() == u.before
}

// wroteAll reports that the request was written whole. HTTP/1 writes its end, at
// most 4 KB, after it was given to the connection; whether this very write failed
// cannot be told of a connection with TLS, which writes once more to close.
func (a *attempt) wroteAll() bool {
	u := a.current.Load()
	return u != nil && u.given.Load() && u.conn.written.Load() != u.before && (u.secured || !u.conn.broken.Load())
}
