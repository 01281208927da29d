package memorybroker

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// goneAfter is for how long a consumer with nothing pending is idle before it is
// deleted.
const goneAfter = time.Hour

// Heartbeat implements [consumergroup.Successor]. As over Redis 7.0, waiting in a
// read shows no life.
func (m *membership) Heartbeat(ctx context.Context) (others []consumergroup.Consumer, err error) {
	err = m.do(ctx, "show life on", func(g *group, c *consumer) error {
		now := time.Now()
		if c.holds == 0 {
			c.seen = now
		}
		for _, name := range slices.Sorted(maps.Keys(g.consumers)) {
			other := g.consumers[name]
			idle := now.Sub(other.seen)
			switch {
			case other == c || name == released:
			case other.holds > 0:
				others = append(others, consumergroup.Consumer{Name: name, Pending: other.holds, Idle: idle})
			case idle > goneAfter:
				delete(g.consumers, name)
			}
		}
		return nil
	})
	return others, err
}

// TakeOver implements [consumergroup.Successor]; no body is ever gone.
func (m *membership) TakeOver(ctx context.Context, from consumergroup.Consumer, idle time.Duration) (got []message.Delivery, err error) {
	err = m.do(ctx, "take over entries of", func(g *group, c *consumer) error {
		now := time.Now()
		other := g.consumers[from.Name]
		if other == nil || other.holds != from.Pending || now.Sub(other.seen) < idle {
			return nil
		}
		var oldest *pending
		for _, p := range g.pending {
			if p.owner == other && now.Sub(p.since) >= idle && (oldest == nil || p.position < oldest.position) {
				oldest = p
			}
		}
		if oldest != nil {
			got = append(got, g.takeOver(oldest, c))
		}
		return nil
	})
	return got, err
}

// Leave implements [consumergroup.Successor].
func (m *membership) Leave(ctx context.Context) error {
	return m.do(ctx, "leave", func(g *group, c *consumer) error {
		if c.holds == 0 {
			delete(g.consumers, m.member.Consumer)
		}
		return nil
	})
}
