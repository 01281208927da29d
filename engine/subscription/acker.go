package subscription

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// ackDelay is the longest that a finished message waits for its
// acknowledgement while the broker answers: what a crash repeats at most.
const ackDelay = 50 * time.Millisecond

// acker gathers acknowledgements. The reader takes them along with its next
// read; where that does not come soon, the acker sends them itself.
type acker struct {
	seat   func() Seat
	ledger *ledger

	mu  sync.Mutex
	ids []string
	// sending is held by who took ids, until they are acknowledged or put back.
	sending sync.Mutex

	added chan struct{} // there are ids
	now   chan struct{} // do not wait for the reader
	// readerBusy tells that the reader waits for entries and will take nothing.
	readerBusy atomic.Bool
}

func newAcker(l *ledger, seat func() Seat) *acker {
	return &acker{
		seat: seat, ledger: l,
		added: make(chan struct{}, 1), now: make(chan struct{}, 1),
	}
}

// add takes an id to be acknowledged soon.
func (a *acker) add(ids ...string) {
	if len(ids) == 0 {
		return
	}
	a.mu.Lock()
	a.ids = append(a.ids, ids...)
	a.mu.Unlock()
	signal(a.added)
}

// hurry says that nothing more will be added for now.
func (a *acker) hurry() {
	if a.readerBusy.Load() {
		signal(a.now)
	}
}

// carry calls send with all that waits for acknowledgement; send reports
// whether they were acknowledged. What was not is kept.
func (a *acker) carry(send func(ids []string) (acked bool, err error)) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	ids := a.take()
	if len(ids) == 0 {
		_, err := send(nil)
		return err
	}
	return a.ledger.settle(func() ([]string, error) {
		acked, err := send(ids)
		if acked {
			return ids, err
		}
		a.putBack(ids)
		return nil, err
	})
}

// flush acknowledges all that waits.
func (a *acker) flush(ctx context.Context) error {
	return a.carry(func(ids []string) (bool, error) {
		if len(ids) == 0 {
			return true, nil
		}
		err := a.seat().Ack(ctx, ids)
		return err == nil, err
	})
}

// waiting reports whether there is something to acknowledge.
func (a *acker) waiting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids) > 0
}

func (a *acker) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := a.ids
	a.ids = nil
	return ids
}

func (a *acker) putBack(ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids = append(ids, a.ids...)
}

// run sends what the reader does not take, until ctx ends.
func (a *acker) run(ctx context.Context) {
	backoff := newBackoff()
	for {
		if !receive(ctx, a.added) || !a.linger(ctx) {
			return
		}
		if !a.waiting() {
			continue
		}
		if err := a.flush(ctx); err != nil {
			// The reader reports a broker that is down; here it is waited out.
			if !sleep(ctx, backoff.next()) {
				return
			}
			signal(a.added)
			continue
		}
		backoff.reset()
	}
}

// linger leaves the reader time to take the ids along.
func (a *acker) linger(ctx context.Context) bool {
	timer := time.NewTimer(ackDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-a.now:
	case <-timer.C:
	}
	return true
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func receive(ctx context.Context, c chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}
