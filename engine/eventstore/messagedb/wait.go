package messagedb

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/eventstore"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// The poller asks this soon after there was something new, and then ever more
// seldom.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
	pollLimit = 5 * time.Second
)

// poller asks for new messages on behalf of all subscriptions that wait, with one
// query, while there are such.
type poller struct {
	find func(ctx context.Context, waiting []wanted) (found []int, head int64, err error)

	ctx    context.Context
	cancel context.CancelFunc
	run    sync.WaitGroup

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	running bool
	closed  bool
	woken   chan struct{} // has one token where something was appended by this process
}

type wanted struct {
	category string
	after    int64
}

type waiter struct {
	wanted
	found chan error // has one once it is over
}

func newPoller(find func(context.Context, []wanted) ([]int, int64, error)) *poller {
	p := &poller{find: find, waiting: make(map[*waiter]struct{}), woken: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Wait implements [catchup.Log].
func (s *Store) Wait(ctx context.Context, category string, after int64, d time.Duration) (bool, error) {
	return s.poller.wait(ctx, wanted{category, after}, d)
}

func (p *poller) wait(ctx context.Context, want wanted, d time.Duration) (bool, error) {
	w := &waiter{want, make(chan error, 1)}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false, eventstore.ErrClosed
	}
	p.waiting[w] = struct{}{}
	if !p.running {
		p.running = true
		p.run.Go(p.loop)
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, w)
		p.mu.Unlock()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-w.found:
		return err == nil, err
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// poke has the poller ask soon.
func (p *poller) poke() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// loop asks until nothing waits for a while.
func (p *poller) loop() {
	pause, idle := firstPoll, time.Now()
	for {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.woken:
			timer.Stop()
			pause = firstPoll
		case <-p.ctx.Done():
			timer.Stop()
		}
		p.mu.Lock()
		waiting := make([]*waiter, 0, len(p.waiting))
		for w := range p.waiting {
			waiting = append(waiting, w)
		}
		if len(waiting) > 0 {
			idle = time.Now()
		}
		if p.ctx.Err() != nil || time.Since(idle) > 2*time.Second {
			p.running = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		if len(waiting) == 0 {
			continue
		}
		pause = min(pause*3/2, lastPoll)
		wants := make([]wanted, len(waiting))
		for i, w := range waiting {
			wants[i] = w.wanted
		}
		ctx, cancel := context.WithTimeout(p.ctx, pollLimit)
		found, head, err := p.find(ctx, wants)
		cancel()
		if err != nil { // each that waits reads next, and says what is wrong
			found = found[:0]
			for i := range waiting {
				found = append(found, i)
			}
			pause = lastPoll
		} else if len(found) > 0 {
			pause = firstPoll
		}
		p.mu.Lock()
		for _, i := range found {
			p.end(waiting[i], nil)
		}
		for _, w := range waiting {
			if err == nil && w.after > head {
				p.end(w, &catchup.AheadError{Position: w.after, Head: head, WayOut: "the subscription begins again at the position that the store has of it; see what the restore lost"})
			}
		}
		p.mu.Unlock()
	}
}

// end ends a wait that is not over. p.mu is held.
func (p *poller) end(w *waiter, err error) {
	if _, still := p.waiting[w]; still {
		w.found <- err
		delete(p.waiting, w)
	}
}

// close ends the loop. Waiting is over with the time that was given for it.
func (p *poller) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.run.Wait()
}

// findNew says which of the categories have a message above the position, by one
// search of an index for each, and where the store's head is.
func (s *Store) findNew(ctx context.Context, waiting []wanted) (found []int, head int64, err error) {
	categories, after := make([]string, len(waiting)), make([]int64, len(waiting))
	for i, w := range waiting {
		categories[i], after[i] = w.category, w.after
	}
	const sql = `SELECT i::int - 1 FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w(category, after, i)
		WHERE CASE WHEN w.category = '$all' THEN EXISTS (SELECT FROM messages m WHERE m.global_position > w.after)
		ELSE EXISTS (SELECT FROM messages m WHERE category(m.stream_name) = w.category AND m.global_position > w.after) END`
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, categories, after)
		if err != nil {
			return err
		}
		if found, err = pgx.CollectRows(rows, pgx.RowTo[int]); err != nil {
			return err
		}
		head, err = headOf(ctx, conn)
		return err
	})
	return found, head, err
}
