package consumergroup

import (
	"context"
	"errors"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

// ackDelay is the longest that a handled message waits for its acknowledgement
// while the broker answers: what a crash repeats at most.
const ackDelay = 50 * time.Millisecond

// checkEvery is how often, while nothing is read, the group's existence is
// checked.
const checkEvery = time.Second

// Upkeep implements [subscription.Intake].
func (s *source) Upkeep(ctx context.Context, lost chan<- []*subscription.Task) {
	// Every so many ticks it is time to renew: the time between renewals is no longer
	// than renewEvery, whichever way a tick is off.
	ticks := (s.renewEvery + checkEvery - 1) / checkEvery
	tick := max(s.renewEvery/max(ticks, 1), time.Millisecond)
	check := time.NewTicker(tick)
	defer check.Stop()
	var renewed time.Time // the first time at once: that this process is here is to be known
	var backoff retry.Backoff
	var again <-chan time.Time
	for {
		added := s.added
		if again != nil {
			added = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-added:
			if !s.waitForRead(ctx) {
				return
			}
		case <-again:
		case <-s.reclaim:
			report(ctx, lost, apart(ctx, s.checkAndRenew))
			continue
		case <-check.C:
			if s.membership.Load() == nil {
				continue
			}
			if time.Since(renewed) >= s.renewEvery-tick/2 {
				renewed = time.Now()
				report(ctx, lost, apart(ctx, s.checkAndRenew))
			} else if time.Since(time.Unix(0, s.lastRead.Load())) > checkEvery {
				report(ctx, lost, apart(ctx, s.checkGroup))
			}
			s.trim(ctx)
			continue
		}
		again = nil
		if s.membership.Load() == nil || !s.inflight.hasHandled() {
			continue
		}
		// A broker that is down is reported by Next; here it is waited for.
		if apart(ctx, s.flush) != nil {
			again = time.After(backoff.Next())
			continue
		}
		backoff.Reset()
	}
}

// upkeepTimeout bounds one step of the upkeep: a stop waits for it, and clients do
// not interrupt what waits for a silent server.
const upkeepTimeout = 5 * time.Second

// apart calls fn in a goroutine of its own and waits for it. The stack of one that
// calls a client grows to several times the size that waiting needs, and a
// goroutine that lives as long as its subscription would keep it.
func apart[T any](ctx context.Context, fn func(ctx context.Context) T) T {
	bounded, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	result := make(chan T, 1)
	go func() { result <- fn(bounded) }()
	return <-result
}

// checkAndRenew checks the group, renews what is in flight, or shows life without,
// and returns what is lost.
func (s *source) checkAndRenew(ctx context.Context) (lost []*subscription.Task) {
	lost = s.checkGroup(ctx)
	gone, err := s.renew(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) { // which a stop does
		s.log.WarnContext(ctx, "cannot renew what is in flight; trying again", "error", err)
	}
	s.heartbeat(ctx)
	return append(lost, gone...)
}

// report sends what is lost, if anything is.
func report(ctx context.Context, lost chan<- []*subscription.Task, gone []*subscription.Task) {
	if len(gone) == 0 {
		return
	}
	select {
	case lost <- gone:
	case <-ctx.Done():
	}
}

// renew resets the idle time of what is in flight, claims back what was dropped with
// this consumer or its group, and returns what is lost. The table is closed for
// its round trip.
func (s *source) renew(ctx context.Context) (lost []*subscription.Task, err error) {
	s.inflight.exchange.Lock()
	defer s.inflight.exchange.Unlock()
	entries := s.inflight.unfinished()
	if len(entries) == 0 {
		return nil, nil
	}
	ids, err := (*s.membership.Load()).Renew(ctx, entries)
	return s.inflight.removeLost(ids), err
}

// waitForRead leaves Next time to take the acknowledgements along, unless Next
// waits for entries, on an idle stream. It returns false when ctx ended.
func (s *source) waitForRead(ctx context.Context) bool {
	return s.waiting.Load() || retry.Sleep(ctx, ackDelay)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
