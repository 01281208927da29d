package testserver

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// FaultProxy forwards connections between a client and a server, and injects the
// faults of a network into them. It does not depend on a protocol.
type FaultProxy struct {
	// Addr is where it listens: the host:port to give to the client.
	Addr string

	target string
	listen net.Listener
	work   sync.WaitGroup

	mu      sync.Mutex
	open    map[net.Conn]side
	down    bool
	linger  chan struct{} // not nil while servers do not learn of closed clients
	stalled chan struct{} // not nil while stalled; closed when that ends
	rate    int           // bytes of replies that pass in a second on each connection; 0: all
	drop    *drop         // the reply to lose next
}

// side says which end of a link a connection is.
type side int

const (
	clientSide side = iota
	serverSide
)

// drop is one request to lose a reply.
type drop struct {
	request []byte
	done    chan struct{}
}

// Proxy listens on a free loopback port and passes everything on to the server
// at addr, until the test ends.
func Proxy(t testing.TB, addr string) *FaultProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal("testserver: proxy:", err)
	}
	p := &FaultProxy{Addr: l.Addr().String(), target: addr, listen: l, open: map[net.Conn]side{}}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Down()
		p.Flow()
		p.work.Wait()
	})
	return p
}

// DropReply has the proxy lose the server's reply to the next request that
// contains the text: the request reaches the server, its reply ends in nothing
// and the connection is cut. The channel is closed when that has happened.
func (p *FaultProxy) DropReply(request string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = &drop{request: []byte(request), done: make(chan struct{})}
	return p.drop.done
}

// Cut closes all connections. New ones are accepted.
func (p *FaultProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// CutClients closes the clients' side of all connections. Their servers go on,
// as behind a router that forgot them, until the function it returns is called.
func (p *FaultProxy) CutClients() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	linger := make(chan struct{})
	p.linger = linger
	for conn, end := range p.open {
		if end == clientSide {
			_ = conn.Close()
		}
	}
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(linger)
		p.linger = nil
	})
}

// lingering returns when a server may learn that its client is gone.
func (p *FaultProxy) lingering() {
	p.mu.Lock()
	linger := p.linger
	p.mu.Unlock()
	if linger != nil {
		<-linger
	}
}

// Down closes all connections, and new ones as soon as they are made, until Up.
func (p *FaultProxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up ends Down.
func (p *FaultProxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Stall holds back what servers reply, until Flow.
func (p *FaultProxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Throttle lets so many bytes of what servers reply pass in a second, on each
// connection.
func (p *FaultProxy) Throttle(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytes
}

// pace waits as long as n bytes take.
func (p *FaultProxy) pace(n int) {
	p.mu.Lock()
	rate := p.rate
	p.mu.Unlock()
	if rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
}

// Flow ends Stall: what was held back goes on.
func (p *FaultProxy) Flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

func (p *FaultProxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve copies both ways until one side closes or the proxy cuts.
func (p *FaultProxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(client, server) {
		return
	}
	defer p.forget(client, server)
	l := &link{proxy: p, client: client, server: server}
	var back sync.WaitGroup
	back.Go(l.replies)
	l.requests()
	p.lingering()
	_ = server.Close()
	back.Wait()
}

func (p *FaultProxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	p.open[client], p.open[server] = clientSide, serverSide
	return true
}

func (p *FaultProxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.open, conn)
	}
}

// link is one connection through the proxy.
type link struct {
	proxy          *FaultProxy
	client, server net.Conn

	mu   sync.Mutex
	tail []byte // the end of the request so far, for texts cut in two
	lose *drop  // what the next reply is lost for
}

func (l *link) requests() {
	buf := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buf)
		l.watch(buf[:n])
		if _, werr := l.server.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// watch takes the proxy's drop if this is the request whose reply is to be lost.
func (l *link) watch(request []byte) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := append(l.tail, request...)
	if d := l.proxy.drop; d != nil && bytes.Contains(seen, d.request) {
		l.lose, l.proxy.drop = d, nil
	}
	l.tail = append([]byte(nil), seen[max(0, len(seen)-256):]...)
}

func (l *link) replies() {
	defer l.client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		l.proxy.wait()
		l.proxy.pace(n)
		if n > 0 && l.lost() {
			return
		}
		if _, werr := l.client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// lost cuts the connection where this reply is to be lost.
func (l *link) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lose == nil {
		l.tail = nil
		return false
	}
	_ = l.client.Close()
	close(l.lose.done)
	return true
}

// wait returns when replies flow.
func (p *FaultProxy) wait() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}
