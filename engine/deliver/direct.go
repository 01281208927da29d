package deliver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// maxDirect is the longest body that is posted directly: more than this may
	// fill what the kernel keeps, and a target that answers before it has read all
	// is heard only by one that reads while it writes.
	maxDirect = 32 << 10
	// idleTimeout is how long a connection is kept without a request.
	idleTimeout = 90 * time.Second
	// maxHead bounds what is read of one answer.
	maxHead = 1 << 20
)

// direct posts as HTTP/1.1 on connections of its own, one request at a time on
// each: a write and a read in the caller's goroutine, where net/http passes
// request and answer through two others.
type direct struct {
	address string
	line    string // the request's first line, and the name of the header that follows it
	most    int    // connections kept
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	idle   []*directConn // the last used last
	expiry *time.Timer   // runs while there are idle ones
	closed bool
}

// newDirect returns nil where the target needs more than this: TLS, a proxy, or a
// host's name that is not ASCII.
func newDirect(target *url.URL, concurrency int) *direct {
	through, err := proxy(&http.Request{URL: target})
	if target.Scheme != "http" || through != nil || err != nil || strings.ContainsFunc(target.Host, func(r rune) bool { return r > '~' || r == '%' }) {
		return nil
	}
	port := target.Port()
	if port == "" {
		port = "80"
	}
	return &direct{
		address: net.JoinHostPort(target.Hostname(), port),
		line:    http.MethodPost + " " + target.RequestURI() + " HTTP/1.1\r\nHost: ",
		most:    concurrency,
		dial:    dialer.DialContext,
	}
}

func (d *direct) post(ctx context.Context, timeout time.Duration, r *request) (answer, *noAnswer) {
	deadline := time.Now().Add(timeout)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(deadline) {
		deadline = sooner
	}
	for resends := 0; ; resends++ {
		c, err := d.take(ctx, deadline)
		if err != nil {
			return answer{}, &noAnswer{err: err, timedOut: isTimeout(ctx, err)}
		}
		reused := c.answers > 0
		a, failure := c.post(ctx, deadline, d.line, r)
		if failure == nil && !c.spent && !isDown(a.status) {
			d.keep(c)
		} else {
			_ = c.Close()
		}
		if failure == nil || !reused || c.written > 0 || ctx.Err() != nil || resends == maxResends {
			return a, failure
		}
	}
}

func isTimeout(ctx context.Context, err error) bool { return ctx.Err() != nil || os.IsTimeout(err) }

// take returns the connection last used that is open still, or a new one.
func (d *direct) take(ctx context.Context, deadline time.Time) (*directConn, error) {
	for c := d.lastIdle(); c != nil; c = d.lastIdle() {
		if c.peer.isSilent() {
			return c, nil
		}
		_ = c.Close()
	}
	bounded, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	inner, err := d.dial(bounded, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	return newDirectConn(inner)
}

func (d *direct) lastIdle() *directConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := len(d.idle) - 1
	if last < 0 {
		return nil
	}
	c := d.idle[last]
	d.idle = d.idle[:last]
	return c
}

func (d *direct) keep(c *directConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.idle) >= d.most {
		_ = c.Close()
		return
	}
	c.idleSince = time.Now()
	d.idle = append(d.idle, c)
	if d.expiry == nil {
		d.expiry = time.AfterFunc(idleTimeout, d.expire)
	}
}

// expire closes the connections that nothing was posted on for long.
func (d *direct) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	expired := 0
	for expired < len(d.idle) && time.Since(d.idle[expired].idleSince) >= idleTimeout {
		_ = d.idle[expired].Close()
		expired++
	}
	d.idle = append(d.idle[:0], d.idle[expired:]...)
	if d.expiry = nil; len(d.idle) > 0 {
		d.expiry = time.AfterFunc(idleTimeout-time.Since(d.idle[0].idleSince), d.expire)
	}
}

// close closes the connections that are kept, and keeps none any more.
func (d *direct) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.dropIdle()
}

// dropIdle closes the connections that are kept.
func (d *direct) dropIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.idle {
		_ = c.Close()
	}
	d.idle = nil
	if d.expiry != nil {
		d.expiry.Stop()
		d.expiry = nil
	}
}

// directConn is a connection of a direct. One goroutine at a time uses it.
type directConn struct {
	net.Conn
	peer      *peer
	in        *bufio.Reader // of readable
	readable  int           // how much more of an answer is read
	out       []byte
	written   int  // of the last request
	answers   int  // so many requests were answered
	spent     bool // it cannot be used again
	idleSince time.Time
}

var errLongAnswer = errors.New("the answer's headers do not end")

func newDirectConn(inner net.Conn) (*directConn, error) {
	raw, err := inner.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	c := &directConn{Conn: inner, peer: newPeer(raw)}
	c.in = bufio.NewReader(boundedReader{c})
	return c, nil
}

// boundedReader reads at most what is readable of its connection.
type boundedReader struct{ of *directConn }

func (b boundedReader) Read(p []byte) (int, error) {
	if b.of.readable <= 0 {
		return 0, errLongAnswer
	}
	n, err := b.of.Read(p)
	b.of.readable -= n
	return n, err
}

// post sends a request and reads its answer.
func (c *directConn) post(ctx context.Context, deadline time.Time, line string, r *request) (answer, *noAnswer) {
	c.written = 0
	if err := c.SetDeadline(deadline); err != nil {
		return answer{}, &noAnswer{err: err, connected: true}
	}
	unwatch := whenDone(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	a, err := c.exchange(deadline, line, r)
	if !unwatch() {
		c.spent = true // its deadline may be changed any moment
	}
	if err != nil {
		return answer{}, &noAnswer{err: err, timedOut: isTimeout(ctx, err), connected: true, wroteAll: c.written == len(c.out)}
	}
	return a, nil
}

func (c *directConn) exchange(deadline time.Time, line string, r *request) (answer, error) {
	const kept = 2 * maxDirect
	if cap(c.out) > kept {
		c.out = nil
	}
	c.out = r.appendTo(append(c.out[:0], line...))
	var err error
	if c.written, err = c.Write(c.out); err != nil {
		return answer{}, err
	}
	c.readable = maxHead
	if _, err := c.in.Peek(1); err != nil {
		return answer{}, err
	}
	c.answers++
	if status, ok := c.shortAnswer(); ok {
		return answer{status: status}, nil
	}
	resp, err := http.ReadResponse(c.in, nil)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(c.in, nil)
	}
	if err != nil {
		return answer{}, err
	}
	if enough := time.Now().Add(drainTimeout); enough.Before(deadline) {
		_ = c.SetReadDeadline(enough)
	}
	a, whole := readAnswer(resp) // not closed: that would read on to its end
	c.spent = !whole || resp.Close || c.in.Buffered() > 0
	return a, nil
}

// shortAnswer reads an answer of 2xx that has arrived whole and after which the
// connection stays open, without making anything of its headers. It leaves all
// others unread.
func (c *directConn) shortAnswer() (status int, ok bool) {
	all, _ := c.in.Peek(c.in.Buffered())
	head, body, ok := bytes.Cut(all, []byte("\r\n\r\n"))
	const version, lineLength = "HTTP/1.1 ", len("HTTP/1.1 200 ")
	if !ok || len(head) < lineLength || string(head[:len(version)]) != version || head[lineLength-1] != ' ' {
		return 0, false
	}
	status, err := strconv.Atoi(string(head[len(version) : lineLength-1]))
	if err != nil || status/100 != 2 {
		return 0, false
	}
	length := -1
	if status == http.StatusNoContent {
		length = 0
	}
	line, lines, more := bytes.Cut(head, []byte("\r\n"))
	if bytes.ContainsFunc(line, unicode.IsControl) {
		return 0, false
	}
	for more {
		line, lines, more = bytes.Cut(lines, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsFunc(name, isUnusual) || bytes.ContainsFunc(value, unicode.IsControl) {
			return 0, false
		}
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || length >= 0 {
				return 0, false
			}
			length = int(n)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, false
		case bytes.EqualFold(name, []byte("Connection")) && !bytes.EqualFold(value, []byte("keep-alive")):
			return 0, false
		}
	}
	if length != len(body) {
		return 0, false
	}
	_, _ = c.in.Discard(len(all))
	return status, true
}

// isUnusual reports a character that headers' names seldom have, such as the space
// with which a line goes on.
func isUnusual(r rune) bool {
	return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != '-'
}

// whenDone has f called when ctx ends before its deadline, until it is told to
// stop: stop reports false where f was called. A call of the engine has a cheaper
// way than the standard library's.
func whenDone(ctx context.Context, f func()) (stop func() bool) {
	if call, ok := ctx.(interface{ BeforeDeadline(f func()) func() bool }); ok {
		return call.BeforeDeadline(f)
	}
	return context.AfterFunc(ctx, f)
}
