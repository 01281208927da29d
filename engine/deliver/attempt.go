package deliver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// targetConn is a connection to the target. It writes nothing once the target has
// closed it, so that a request can be sent on another, and counts what it wrote.
type targetConn struct {
	net.Conn
	peer    *peer
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
	if c.broken.Load() || c.hasRead.Swap(false) && c.peer.hasClosed() {
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
	return &targetConn{Conn: c, peer: newPeer(raw)}, nil
}

// attempt tells how far a request got. It follows one request at a time.
type attempt struct {
	hooks  httptrace.ClientTrace
	conn   *targetConn // what the request was given; nil before
	tls    bool
	reused bool
	before int64       // what others had written to it
	given  atomic.Bool // the request was given to it whole
}

// trace returns the context of the request to be followed.
func (a *attempt) trace(ctx context.Context) context.Context {
	a.hooks.GetConn, a.hooks.GotConn, a.hooks.WroteRequest = a.getConn, a.gotConn, a.wroteRequest
	return httptrace.WithClientTrace(ctx, &a.hooks)
}

func (a *attempt) getConn(string) {
	a.conn = nil
	a.given.Store(false)
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.conn, a.reused = below(info.Conn), info.Reused
	a.tls = net.Conn(a.conn) != info.Conn
	a.before = a.conn.written.Load()
}

// wroteRequest is called by another goroutine than the one that sends.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		a.given.Store(true)
	}
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
func (a *attempt) connected() bool { return a.conn != nil }

// neverArrived reports that a kept connection turned out to be closed before
// anything of the request was written to it.
func (a *attempt) neverArrived() bool {
	return a.conn != nil && a.reused && a.conn.written.Load() == a.before
}

// wroteAll reports that the request was written whole. HTTP/1 writes its end, at
// most 4 KB, after it was given to the connection; whether this very write failed
// cannot be told of a connection with TLS, which writes once more to close.
func (a *attempt) wroteAll() bool {
	return a.given.Load() && a.conn != nil && a.conn.written.Load() != a.before && (a.tls || !a.conn.broken.Load())
}
