package memorybroker

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// maxBlock is the longest that one read waits.
const maxBlock = time.Second

// maxCount bounds the delivery counts that are taken for attempts, as it does
// over Redis.
const maxCount = 1 << 53

// membership implements [consumergroup.Membership]. What it delivers is shared
// with other groups: readers must not write into the fields' values.
type membership struct {
	broker *Broker
	member consumergroup.Member
}

// do runs one operation on the group, which must exist, and its consumer.
func (m *membership) do(ctx context.Context, what string, operation func(*group, *consumer) error) error {
	return m.broker.do(ctx, what+" "+m.member.Stream, func() error {
		s := m.broker.streams[m.member.Stream]
		if s == nil || s.groups[m.member.Group] == nil {
			return fmt.Errorf("group %q: %w", m.member.Group, consumergroup.ErrNoGroup)
		}
		g := s.groups[m.member.Group]
		return operation(g, g.consumer(m.member.Consumer))
	})
}

func (m *membership) Read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	err = m.do(ctx, "read", func(g *group, c *consumer) error {
		g.ack(r.Acks...)
		got = g.take(c, r.Max)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	if len(got) == 0 && r.Block > 0 && r.Max > 0 {
		got, err = m.readWaiting(ctx, r.Max, min(r.Block, maxBlock))
	}
	return got, true, err
}

// readWaiting takes entries as soon as there are any, or none after a while.
func (m *membership) readWaiting(ctx context.Context, n int, wait time.Duration) (got []message.Delivery, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		var arrived <-chan struct{}
		err = m.do(ctx, "read", func(g *group, c *consumer) error {
			got, arrived = g.take(c, n), g.stream.wait()
			return nil
		})
		if err != nil || len(got) > 0 {
			return got, err
		}
		select {
		case <-arrived:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("memory broker: read %s: %w", m.member.Stream, ctx.Err())
		case <-m.broker.closed:
			return nil, fmt.Errorf("memory broker: read %s: %w", m.member.Stream, broker.ErrClosed)
		}
	}
}

func (m *membership) Pending(ctx context.Context, l consumergroup.List) (got []message.Delivery, next string, err error) {
	err = m.do(ctx, "list pending entries of", func(g *group, c *consumer) error {
		from, err := parseID(l.After)
		if err != nil {
			return err
		}
		if l.Max < 1 {
			return nil
		}
		owned, _ := g.owned(c, from, math.MaxInt)
		for _, p := range owned {
			switch {
			case l.Known != nil && l.Known(p.text):
			case len(got) == l.Max:
				next = got[l.Max-1].ID
				return nil
			default:
				got = append(got, p.delivery(m.member.Stream, attemptsOf(p.count)))
			}
		}
		return nil
	})
	return got, next, err
}

// attemptsOf is the attempts that a delivery count proves. The count is written
// before an attempt, so the last may not have been made.
func attemptsOf(count int) int {
	if count >= maxCount {
		return math.MaxInt
	}
	return max(count-1, 0)
}

func (m *membership) HasReleased() bool {
	has := true
	_ = m.do(context.Background(), "released entries of", func(g *group, _ *consumer) error {
		owned, _ := g.owned(g.consumer(released), message.EntryID{}, 1)
		has = len(owned) > 0
		return nil
	})
	return has
}

func (m *membership) ClaimReleased(ctx context.Context, max int) (got []message.Delivery, more bool, err error) {
	err = m.do(ctx, "claim released entries of", func(g *group, c *consumer) error {
		var owned []*pending
		owned, more = g.owned(g.consumer(released), message.EntryID{}, max)
		for _, p := range owned {
			got = append(got, g.takeOver(p, c))
		}
		return nil
	})
	return got, more, err
}

func (m *membership) Trim(ctx context.Context, r consumergroup.Retention) (t consumergroup.Trimmed, err error) {
	err = m.do(ctx, "trim", func(g *group, _ *consumer) error {
		s := g.stream
		missing := slices.IndexFunc(r.Groups, func(name string) bool { return s.groups[name] == nil })
		if missing < 0 {
			t.Removed, t.Group = s.trimTo(r.MaxLen, r.Floors)
		} else {
			t.Group = r.Groups[missing]
		}
		if t.Beyond = max(len(s.entries)-r.MaxLen, 0); t.Beyond == 0 {
			t.Group = ""
		}
		came := t
		s.retained = &came
		return nil
	})
	return t, err
}

// takeOver gives a consumer an entry of another with the attempts on record.
func (g *group) takeOver(p *pending, c *consumer) message.Delivery {
	g.move(p, c)
	attempts := p.count
	if attempts >= maxCount {
		attempts = math.MaxInt
	}
	p.count = max(p.count, 1) // as a read leaves it
	return p.delivery(g.stream.name, attempts)
}

func (m *membership) Ack(ctx context.Context, ids []string) error {
	return m.do(ctx, "acknowledge on", func(g *group, _ *consumer) error {
		g.ack(ids...)
		return nil
	})
}

func (m *membership) Attempt(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "record attempts on", func(g *group, c *consumer) error {
		lost = g.each(c, entries, func(p *pending, attempts int) {
			p.count = attempts
			p.renew()
		})
		return nil
	})
	return lost, err
}

func (m *membership) Release(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "release on", func(g *group, c *consumer) error {
		lost = g.each(c, entries, func(p *pending, attempts int) {
			p.count = attempts
			g.move(p, g.consumer(released))
		})
		return nil
	})
	return lost, err
}

// each calls fn for the entries that the consumer owns and returns the ids of
// the rest.
func (g *group) each(c *consumer, entries []consumergroup.Entry, fn func(*pending, int)) (lost []string) {
	for _, entry := range entries {
		if p, ok := g.ownedBy(c, entry.ID); ok {
			fn(p, entry.Attempts)
		} else {
			lost = append(lost, entry.ID)
		}
	}
	return lost
}

func (m *membership) DeadLetter(ctx context.Context, entries []deadletter.Entry) (lost []string, err error) {
	err = m.do(ctx, "dead-letter from", func(g *group, c *consumer) error {
		for _, entry := range entries {
			queue := m.broker.stream(deadletter.QueueOf(m.member.Stream))
			if _, ok := g.ownedBy(c, entry.ID); !ok {
				if g.pending[entry.ID] != nil || entry.TriedAt.IsZero() {
					lost = append(lost, entry.ID)
					continue
				}
				if queue.holds(entry.Data) {
					continue
				}
			}
			queue.add(fieldsOf(entry))
			g.ack(entry.ID)
		}
		return nil
	})
	return lost, err
}

// fieldsOf are the fields of a dead letter.
func fieldsOf(entry deadletter.Entry) []message.Field {
	fields := []message.Field{{Name: message.DataField, Value: entry.Data}}
	if entry.Raw != nil {
		fields = append(fields, message.Field{Name: "raw", Value: entry.Raw})
	}
	return copyFields(fields)
}

// Renew implements [consumergroup.Renewer].
func (m *membership) Renew(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "renew on", func(g *group, c *consumer) error {
		owned := false
		for _, entry := range entries {
			id, err := message.ParseEntryID(entry.ID)
			if err != nil {
				return err
			}
			p := g.pending[entry.ID]
			switch {
			case p != nil && p.owner == c:
				// What was claimed back a moment ago proves nothing of the next.
				owned = true
				p.renew()
			case p == nil && entry.MayBeSettled:
			case p == nil && !owned && g.claimBack(c, id, entry.Attempts):
			default:
				lost = append(lost, entry.ID)
			}
		}
		return nil
	})
	return lost, err
}

func (m *membership) Position(ctx context.Context) (delivered message.EntryID, pending int, err error) {
	err = m.do(ctx, "position on", func(g *group, _ *consumer) error {
		delivered, pending = g.delivered, len(g.pending)
		return nil
	})
	return delivered, pending, err
}
