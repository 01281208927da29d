package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/database"
)

// pool is the bookkeeping of SQLAlchemy's QueuePool: it hands sessions out and
// takes them back, and counts how many are open. It opens and closes nothing.
//
// Each session is idle or out. One that is out counts as open from the moment
// it is handed out, before its connection is made, until it is dropped, after
// its connection is gone: so there are never more connections than the limit.
type pool struct {
	size  int // kept
	limit int // open at once

	mu        sync.Mutex
	idle      []*session // the last given back is the first handed out
	out       map[*session]struct{}
	waiters   []chan *session // served in this order
	breaks    uint64          // connections that turned out to be broken
	lingering int             // connections replaced and not yet gone
	closed    bool
	gone      chan struct{} // closed when closed and nothing is open
}

// session is a place in the pool, and its connection once it is made.
type session struct {
	conn   *pgx.Conn
	wire   net.Conn // what may be closed while another goroutine uses conn
	opened time.Time
	tested uint64 // the pool's breaks when this was last known to work
}

func newPool(size, limit int) *pool {
	return &pool{size: size, limit: limit, out: map[*session]struct{}{}, gone: make(chan struct{})}
}

// take hands out an idle session, else one without a connection, else waits for
// either.
func (p *pool) take(ctx context.Context, timeout time.Duration) (*session, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, database.ErrClosed
	}
	if s := p.free(); s != nil {
		p.mu.Unlock()
		return s, nil
	}
	turn := make(chan *session, 1)
	p.waiters = append(p.waiters, turn)
	p.mu.Unlock()
	return p.wait(ctx, turn, timeout)
}

// free hands out what needs no waiting.
func (p *pool) free() *session {
	s := &session{}
	if last := len(p.idle) - 1; last >= 0 {
		s, p.idle = p.idle[last], p.idle[:last]
	} else if len(p.out) >= p.limit {
		return nil
	}
	p.out[s] = struct{}{}
	return s
}

func (p *pool) wait(ctx context.Context, turn chan *session, timeout time.Duration) (*session, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case s, ok := <-turn:
		return orClosed(s, ok)
	case <-ctx.Done():
		err = fmt.Errorf("wait for a connection: %w", ctx.Err())
	case <-timer.C:
		err = database.ErrPoolTimeout
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiters, turn); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		return nil, err
	}
	s, ok := <-turn // served in the last moment
	return orClosed(s, ok)
}

func orClosed(s *session, ok bool) (*session, error) {
	if !ok {
		return nil, database.ErrClosed
	}
	return s, nil
}

// put takes a session back, for the next waiter or to be kept. It reports
// false where the pool does not keep it: then it is still out, to be closed and
// dropped.
func (p *pool) put(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return false
	case len(p.waiters) > 0:
		p.serve(s)
	case len(p.idle) < p.size:
		delete(p.out, s)
		p.idle = append(p.idle, s)
	default:
		return false
	}
	return true
}

func (p *pool) serve(s *session) {
	p.waiters[0] <- s // never blocks: its buffer is for this
	p.waiters = p.waiters[1:]
}

// drop ends a session whose connection is gone, or was never made. Its place
// goes to the next waiter.
func (p *pool) drop(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.out, s)
	if len(p.waiters) > 0 {
		next := &session{}
		p.out[next] = struct{}{}
		p.serve(next)
	}
	p.closeIfGone()
}

// fill gives a session its connection. It fails where the pool was closed in
// the meantime.
func (p *pool) fill(s *session, conn *pgx.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return database.ErrClosed
	}
	s.conn, s.wire, s.opened, s.tested = conn, conn.PgConn().Conn(), time.Now(), p.breaks
	return nil
}

// untested reports whether a connection broke since the session was last tested.
func (p *pool) untested(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	untested := s.tested != p.breaks
	s.tested = p.breaks
	return untested
}

// broke notes a broken connection: what is idle now is tested before its use.
func (p *pool) broke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breaks++
}

// linger counts connections that are on their way out and are no session's.
func (p *pool) linger(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lingering += n
	p.closeIfGone()
}

// close turns the waiters away and returns the idle sessions, to be closed and dropped.
func (p *pool) close() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, turn := range p.waiters {
		close(turn)
	}
	idle := p.idle
	for _, s := range idle {
		p.out[s] = struct{}{}
	}
	p.waiters, p.idle = nil, nil
	p.closeIfGone()
	return idle
}

// cut closes the connections that are still out, while they are in use, and
// returns how many.
func (p *pool) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.out {
		if s.wire != nil {
			_ = s.wire.Close()
		}
	}
	return len(p.out)
}

// closeIfGone closes gone once the pool is closed and nothing is open. p.mu is
// held.
func (p *pool) closeIfGone() {
	if !p.closed || len(p.out)+p.lingering > 0 {
		return
	}
	select {
	case <-p.gone:
	default:
		close(p.gone)
	}
}

func (p *pool) stats() database.PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return database.PoolStats{
		Size:       p.size,
		CheckedOut: len(p.out),
		CheckedIn:  len(p.idle),
		Overflow:   len(p.out) + len(p.idle) - p.size,
	}
}
