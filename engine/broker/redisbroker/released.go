package redisbroker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

// releasedChecks asks for all memberships that are in use, in one pipeline, whether
// entries wait that departing engines released.
type releasedChecks struct {
	broker *Broker
	loop   sync.WaitGroup
	due    atomic.Int64 // when the next check begins, in nanoseconds since 1970

	mu      sync.Mutex
	running bool
	closed  bool
	members map[*membership]struct{}
}

// releasedCheck is what is known for one membership.
type releasedCheck struct {
	asked atomic.Int64 // when HasReleased was last called, in nanoseconds since 1970
	none  atomic.Int64 // when nothing was found; 0 where something was
}

const (
	checkEvery = time.Second
	// checkTakes is how long a check may take until its result is known.
	checkTakes = 50 * time.Millisecond
	// usedFor is for how long a membership is checked that is not asked any more.
	usedFor = 5 * time.Second
	// trustedFor is for how long it counts that nothing was found.
	trustedFor = 3 * time.Second
)

func newReleasedChecks(b *Broker) *releasedChecks {
	return &releasedChecks{broker: b, members: make(map[*membership]struct{})}
}

// HasReleased implements [consumergroup.Reader].
func (m *membership) HasReleased() bool {
	now := time.Now().UnixNano()
	if time.Duration(now-m.check.asked.Swap(now)) > usedFor/2 {
		m.broker.released.add(m)
	}
	return time.Duration(now-m.check.none.Load()) > trustedFor
}

func (c *releasedChecks) add(m *membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.members[m] = struct{}{}
	if !c.running {
		c.running = true
		c.loop.Go(c.run)
	}
}

// run checks until no membership is in use.
func (c *releasedChecks) run() {
	ctx, cancel := c.broker.whileOpen()
	defer cancel()
	for {
		c.due.Store(time.Now().Add(checkEvery).UnixNano())
		retry.Sleep(ctx, checkEvery)
		members := c.inUse()
		if members == nil {
			return
		}
		c.check(ctx, members)
	}
}

// wait is for how long a read may wait whose connection no check can call back: until
// the result of the next one is known, so that what was released is claimed a second
// later and not two.
func (c *releasedChecks) wait(longest time.Duration) time.Duration {
	until := time.Until(time.Unix(0, c.due.Load()))
	if until < -checkEvery { // there are no checks
		return longest
	}
	return min(longest, max(until, 0)+checkTakes)
}

func (c *releasedChecks) inUse() []*membership {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UnixNano()
	var members []*membership
	for m := range c.members {
		if time.Duration(now-m.check.asked.Load()) > usedFor {
			delete(c.members, m)
			continue
		}
		members = append(members, m)
	}
	if len(members) == 0 || c.closed {
		c.running = false
		return nil
	}
	return members
}

// check asks once. What the server refuses, the membership is told when it claims.
func (c *releasedChecks) check(ctx context.Context, members []*membership) {
	pipe := c.broker.commands.Pipeline()
	lists := make([]command, len(members))
	began := time.Now().UnixNano()
	for i, m := range members {
		lists[i] = newCommand(ctx, "XPENDING", m.member.Stream, m.member.Group, "-", "+", 1, Released)
		_ = pipe.Process(ctx, lists[i])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, m := range members {
		found, err := lists[i].Slice()
		if err == nil && len(found) == 0 {
			m.check.none.Store(began)
			continue
		}
		m.check.none.Store(0)
		signal(m.attention)
	}
}

func (c *releasedChecks) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.loop.Wait()
}
