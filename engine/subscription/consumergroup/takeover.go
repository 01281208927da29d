package consumergroup

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/subscription"
)

// takeover is what is known of the group's other consumers that have something
// pending, and what was taken over of those that show no life.
type takeover struct {
	// mu is held while the broker is asked: else what this process takes over itself
	// would look like a sign of life.
	mu        sync.Mutex
	consumers map[string]*observed
	asked     time.Time // when the last answer about them was asked for

	dead     atomic.Int64  // how many of the consumers are
	inHand   atomic.Int64  // how many entries were taken over whose call is to come or under way
	returned chan struct{} // inHand went down

	// These belong to the goroutine that calls Next.

	// single says that what is in hand has no attempt to spare: nothing else is taken.
	// held has none either, and waits until nothing is in hand.
	single bool
	held   []*subscription.Task
}

// returnedPoll bounds how long the takeover waits for a call to return before new
// entries are asked for again.
const returnedPoll = 100 * time.Millisecond

// observed is a consumer and for how long it has been as it is.
type observed struct {
	pending int
	// since is when it was first found to be as it is: not seen by the broker again,
	// and with as many entries pending. A consumer that works through a long batch
	// shows life by nothing but a list that becomes shorter. It begins anew after a time
	// in which the broker did not answer.
	since time.Time
	// dead says that it has been so for claim_idle_seconds.
	dead bool
}

// heartbeat shows that this consumer lives, and finds out which others do.
func (s *source) heartbeat(ctx context.Context) {
	t := &s.takeover
	t.mu.Lock()
	defer t.mu.Unlock()
	asked := time.Now()
	others, err := (*s.membership.Load()).Heartbeat(ctx)
	if err != nil {
		return // Next reports what is wrong with the broker
	}
	now := time.Now()
	before := t.consumers
	// While the broker did not answer, none could show life.
	silent := asked.Sub(t.asked) >= 2*s.renewEvery
	t.consumers = make(map[string]*observed, len(others))
	for _, other := range others {
		o := before[other.Name]
		if o == nil || o.pending != other.Pending || other.Idle < now.Sub(t.asked) || silent && !o.dead {
			o = &observed{pending: other.Pending, since: now}
		}
		if !o.dead && asked.Sub(o.since) >= s.claimIdle && other.Idle >= s.claimIdle {
			o.dead = true
			s.log.WarnContext(ctx, "a consumer shows no life; taking over what it left",
				"consumer", other.Name, "entries", other.Pending, "idle", other.Idle.String())
		}
		t.consumers[other.Name] = o
	}
	t.asked = asked
	t.countDead()
}

// takeOver takes some of what dead consumers left, up to most. What it takes is in hand
// until its first call has returned, or it is put aside behind another of its key, and
// as much is in hand as can be called at once: a message that ends the process takes
// an attempt of all in hand along, and of what was handled and is not acknowledged,
// which is done first. An entry that has no attempt to spare is in hand by itself.
func (s *source) takeOver(ctx context.Context, m Membership, most int) (taken []*subscription.Task, err error) {
	t := &s.takeover
	for range most {
		inHand := t.inHand.Load()
		t.single = t.single && inHand > 0
		if inHand >= s.concurrency || inHand > 0 && (t.single || len(t.held) > 0) {
			return taken, nil
		}
		if s.inflight.hasHandled() {
			if err := s.flush(ctx); err != nil {
				return taken, err
			}
		}
		got := t.held
		for t.held = nil; len(got) == 0; {
			if t.dead.Load() == 0 {
				return taken, nil
			}
			if got, err = s.takeOverNext(ctx, m); err != nil {
				return taken, err
			}
		}
		t.single = slices.ContainsFunc(got, func(task *subscription.Task) bool { return task.Attempts >= s.maxAttempts-1 })
		if t.single && inHand > 0 {
			t.held = got
			return taken, nil
		}
		t.inHand.Add(int64(len(got)))
		taken = append(taken, got...)
	}
	return taken, nil
}

// isTakingOver reports whether there is something to take over, or to hand on of it.
func (t *takeover) isTakingOver() bool { return t.dead.Load() > 0 || len(t.held) > 0 }

// waitReturned waits for a call to return, for a moment.
func (t *takeover) waitReturned(ctx context.Context) {
	limit := time.NewTimer(returnedPoll)
	defer limit.Stop()
	select {
	case <-t.returned:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// takeOverNext takes the oldest entry of the first dead consumer. Where there is none,
// or the consumer is not as it was, it has to show no life once more from now on:
// another process may be taking over, entry by entry.
func (s *source) takeOverNext(ctx context.Context, m Membership) ([]*subscription.Task, error) {
	t := &s.takeover
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.countDead()
	for _, name := range slices.Sorted(maps.Keys(t.consumers)) {
		o := t.consumers[name]
		if !o.dead {
			continue
		}
		got, err := m.TakeOver(ctx, Consumer{Name: name, Pending: o.pending}, s.claimIdle)
		if err != nil || len(got) == 0 {
			o.dead, o.since = false, time.Now()
			return nil, err
		}
		if o.pending -= len(got); o.pending == 0 {
			delete(t.consumers, name)
		}
		tasks := s.inflight.enter(got, 0)
		for _, task := range tasks {
			task.TakenOver = true
			// The death of this call would be taken for its own: it is made with as
			// little beside it as can be.
			task.Apart = task.Attempts >= s.maxAttempts
		}
		return tasks, nil
	}
	return nil, nil
}

// countDead counts the dead consumers, under the lock.
func (t *takeover) countDead() {
	dead := 0
	for _, o := range t.consumers {
		if o.dead {
			dead++
		}
	}
	t.dead.Store(int64(dead))
}

// Returned implements [subscription.Follower].
func (s *source) Returned(*subscription.Task) {
	s.takeover.inHand.Add(-1)
	signal(s.takeover.returned)
}
