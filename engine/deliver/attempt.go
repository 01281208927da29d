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
// closed it, so that a request on it can be sent again, and counts what it wrote.
type targetConn struct {
	net.Conn
	raw     syscall.RawConn
	written atomic.Int64
}

func (c *targetConn) Write(b []byte) (int, error) {
	if isClosedByPeer(c.raw) {
		return 0, io.ErrClosedPipe
	}
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
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
	conn   *targetConn // nil where its writes are not counted
	reused bool
	before int64 // what others had written to it
}

// trace returns a context under which the attempt follows one request.
func (a *attempt) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.current.Store(nil) },
		GotConn: func(info httptrace.GotConnInfo) {
			u := &use{reused: info.Reused}
			conn := info.Conn
			if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
				conn = secured.NetConn()
			}
			if u.conn, _ = conn.(*targetConn); u.conn != nil {
				u.before = u.conn.written.Load()
			}
			a.current.Store(u)
		},
	})
}

// connected reports whether there was a connection to send the request on.
func (a *attempt) connected() bool { return a.current.Load() != nil }

// neverArrived reports that a kept connection turned out to be closed before
// anything of the request was written to it.
func (a *attempt) neverArrived() bool {
	u := a.current.Load()
	return u != nil && u.reused && u.conn != nil && u.conn.written.Load() == u.before
}
