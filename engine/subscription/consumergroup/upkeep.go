package consumergroup

import (
	"context"
	"errors"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// ackDelay is the longest that a handled message waits for its
	// acknowledgement while the broker answers: what a crash repeats at most.
	ackDelay = 50 * time.Millisecond
	// checkEvery is how often, while nothing is read, the group's existence is
	// checked.
	checkEvery = time.Second
)

// Upkeep implements [subscription.Intake].
func (s *source) Upkeep(ctx context.Context, lost chan<- []*subscription.Task) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	renewed := time.Now()
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
			if !s.linger(ctx) {
				return
			}
		case <-again:
		case <-s.reclaim:
			s.keep(ctx, lost)
			continue
		case <-check.C:
			if s.membership.Load() == nil {
				continue
			}
			if time.Since(renewed) >= s.renewEvery {
				renewed = time.Now()
				s.keep(ctx, lost)
			} else if time.Since(time.Unix(0, s.lastRead.Load())) > checkEvery {
				s.checkGroup(ctx, lost)
			}
			continue
		}
		again = nil
		if s.membership.Load() == nil || !s.inflight.hasHandled() {
			continue
		}
		// A broker that is down is reported by Next; here it is waited for.
		if err := s.flush(ctx); err != nil {
			again = time.After(backoff.Next())
			continue
		}
		backoff.Reset()
	}
}

// linger leaves Next time to take the acknowledgements along, unless it waits
// for entries, on an idle stream.
func (s *source) linger(ctx context.Context) bool {
	return s.waiting.Load() || retry.Sleep(ctx, ackDelay)
}

// keep renews what is in flight.
func (s *source) keep(ctx context.Context, lost chan<- []*subscription.Task) {
	s.checkGroup(ctx, lost)
	gone, err := s.renew(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "cannot renew what is in flight; trying again", "error", err)
	}
	report(ctx, lost, gone)
}

// checkGroup learns the group's position. Where the group is gone it makes it
// again, and claims back what is in flight.
func (s *source) checkGroup(ctx context.Context, lost chan<- []*subscription.Task) {
	m := s.membership.Load()
	id, pending, err := (*m).Position(ctx)
	if err == nil {
		s.position.raise(id)
		s.pendingOfOthers.Store(int64(max(pending-s.inflight.size(), 0)))
	}
	if !isGone(err) || s.rejoin(ctx, m) != nil {
		return // Next reports what is wrong with the broker
	}
	gone, _ := s.renew(ctx)
	report(ctx, lost, gone)
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

// renew makes what is in flight look young, claims back what was dropped with
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
	return s.inflight.remove(ids), err
}

func isGone(err error) bool { return errors.Is(err, ErrNoGroup) }
