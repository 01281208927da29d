package subscription

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

const (
	// firstRead bounds a read while the size of an entry is not known.
	firstRead = 10
	// budgetPause is how long a subscription that has no room in the budget waits
	// before it asks again.
	budgetPause = 50 * time.Millisecond
)

// feed reads batches and offers them, one at a time, until ctx ends. While a
// batch is not taken none is read; while the gate is closed one is read when it
// is wanted, and not ahead. What is not taken at the end the source still knows,
// and gives back.
func (r *Runner) feed(ctx context.Context, batches chan<- []*Task, wanted <-chan struct{}) {
	size := readSize{limit: r.cfg.MessagesPerTick, current: r.cfg.MessagesPerTick}
	var backoff retry.Backoff
	failing := false
	r.status.pause.wait(ctx)
	for ctx.Err() == nil {
		if r.status.gate.holdsReading() {
			select {
			case <-wanted:
			case <-ctx.Done():
				return
			}
		}
		n, whole := size.next(r.share.left(), r.status.open.Load() == 0)
		if !whole {
			r.share.signalShort()
		}
		if n < 1 {
			retry.Sleep(ctx, budgetPause)
			continue
		}
		if r.lane != nil {
			if n = r.lane.turn(ctx, n); n < 1 {
				return
			}
		}
		r.status.readingSince.CompareAndSwap(0, time.Now().UnixNano())
		tasks, err := r.source.Next(ctx, n)
		if len(tasks) > 0 {
			r.status.readingSince.Store(0)
		}
		for _, t := range tasks {
			t.load(r.share)
		}
		size.observe(tasks, err)
		standby := errors.Is(err, ErrStandby)
		switch {
		case standby && !r.status.gate.is(Standby):
			r.log.Info("another process runs the subscription; standing by")
		case !standby && err == nil && r.status.gate.is(Standby):
			r.log.Info("running the subscription in the place of another process")
		}
		if standby || err == nil {
			r.status.gate.set(Standby, standby)
			err = nil
		}
		if err == nil || len(tasks) > 0 {
			r.status.joined.Store(true)
		}
		if len(tasks) > 0 {
			select {
			case batches <- tasks:
			case <-ctx.Done():
			}
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if !failing {
				r.log.ErrorContext(ctx, "cannot read; trying again until it works", "error", err)
			}
			failing = true
			retry.Sleep(ctx, backoff.Next())
			continue
		case failing:
			failing = false
			r.log.Info("reading again")
		}
		backoff.Reset()
		if r.cfg.TickInterval > 0 {
			retry.Sleep(ctx, r.cfg.TickInterval)
		}
	}
}

// readSize is how many messages the next read may take: the number asked for,
// halved after each read that timed out and growing back slowly, and no more
// than what is left of the budget has room for. It belongs to the goroutine
// that reads.
type readSize struct {
	limit   int // messages_per_tick
	current int // at most limit
	mean    int // bytes of an entry: the largest mean of late, decaying
}

// next is the number to read, and whether the room that is left allows all that
// was asked for; 0 where it is too small. A subscription that has nothing in flight
// may always read one, so that an entry larger than the budget passes.
func (s *readSize) next(room int64, idle bool) (n int, whole bool) {
	if s.mean == 0 {
		return min(s.current, firstRead), true
	}
	n = int(min(int64(s.current), max(room, 0)/int64(s.mean)))
	if n < 1 && idle {
		return 1, false
	}
	return n, n == s.current
}

// observe learns from a read.
func (s *readSize) observe(tasks []*Task, err error) {
	if len(tasks) > 0 {
		total := 0
		for _, t := range tasks {
			total += t.size
		}
		mean := max(total/len(tasks), 1)
		s.mean = max(mean, s.mean-(s.mean-mean)/8)
	}
	switch {
	case isTimeout(err):
		s.current = max(s.current/2, 1)
	case err == nil && len(tasks) > 0:
		s.current = min(s.current+max(s.current/8, 1), s.limit)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
