package memorybroker

import (
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// released is the consumer that owns the entries that departing engines released.
const released = "released"

// group is one reader of a stream, shared by its consumers.
type group struct {
	stream *stream
	// next is the position of the first entry that the group has not got, and
	// delivered the id up to which it got all.
	next      int
	delivered message.EntryID
	// got is how many entries it ever got.
	got int
	// pending are the entries got and not acknowledged, by id.
	pending   map[string]*pending
	consumers map[string]*consumer
}

// consumer is known by its address.
type consumer struct {
	holds int // how many entries it has pending
	// seen is when it last got, claimed or renewed an entry, or showed life.
	seen time.Time
}

// pending is an entry that a consumer got and that is not acknowledged.
type pending struct {
	*entry
	owner *consumer
	// count is Redis' delivery count: 1 from the read, then what is written.
	count int
	// since is when it was got, claimed or renewed last.
	since time.Time
}

// delivery is the entry as a reader gets it, with the attempts that its delivery
// count stands for.
func (p *pending) delivery(stream string, attempts int) message.Delivery {
	return message.Delivery{Stream: stream, ID: p.text, Fields: copyFields(p.fields), Attempts: attempts}
}

// newGroup makes a group that starts where its first member says. A stream that
// is behind what the group is known to have delivered is another stream.
func newGroup(s *stream, m consumergroup.Member) *group {
	g := &group{stream: s, next: s.dropped, pending: map[string]*pending{}, consumers: map[string]*consumer{}}
	switch {
	case !m.Resume.IsZero() && s.last.Compare(m.Resume) >= 0:
		g.next, g.delivered = s.position(m.Resume), m.Resume
	case m.Resume.IsZero() && m.FromEnd:
		g.next, g.delivered = s.added(), s.last
	}
	return g
}

func (g *group) consumer(name string) *consumer {
	c := g.consumers[name]
	if c == nil {
		c = &consumer{seen: time.Now()}
		g.consumers[name] = c
	}
	return c
}

// take gives a consumer up to n entries that the group has not got.
func (g *group) take(c *consumer, n int) []message.Delivery {
	fresh := g.stream.from(g.next)
	fresh = fresh[:max(min(n, len(fresh)), 0)]
	if len(fresh) == 0 {
		return nil
	}
	now := time.Now()
	taken, got := make([]message.Delivery, len(fresh)), make([]pending, len(fresh))
	for i, e := range fresh {
		got[i] = pending{entry: e, owner: c, count: 1, since: now}
		g.pending[e.text] = &got[i]
		taken[i] = got[i].delivery(g.stream.name, 0)
	}
	g.next += len(fresh)
	g.delivered = fresh[len(fresh)-1].id
	g.got += len(fresh)
	c.holds += len(fresh)
	c.seen = now
	return taken
}

// owned lists up to n of a consumer's pending entries after an id, oldest first,
// and reports whether there are more.
func (g *group) owned(c *consumer, after message.EntryID, n int) (list []*pending, more bool) {
	if c.holds == 0 || n < 1 {
		return nil, false
	}
	var found []*pending
	for _, p := range g.pending {
		if p.owner == c && p.id.Compare(after) > 0 {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *pending) int { return a.position - b.position })
	return found[:min(n, len(found))], len(found) > n
}

// ownedBy returns a pending entry if this consumer has it.
func (g *group) ownedBy(c *consumer, id string) (*pending, bool) {
	p := g.pending[id]
	return p, p != nil && p.owner == c
}

// claimBack makes an entry pending again that was dropped with its consumer or
// its group. It fails where the group will deliver the entry anyway, or where
// there is none.
func (g *group) claimBack(c *consumer, id message.EntryID, attempts int) bool {
	e := g.stream.entry(id)
	if e == nil || id.Compare(g.delivered) > 0 {
		return false
	}
	now := time.Now()
	g.pending[e.text] = &pending{entry: e, owner: c, count: attempts, since: now}
	c.holds++
	c.seen = now
	return true
}

func (g *group) move(p *pending, to *consumer) {
	p.owner.holds--
	to.holds++
	p.owner = to
	p.renew()
}

// renew makes an entry and its consumer look alive.
func (p *pending) renew() {
	p.since = time.Now()
	p.owner.seen = p.since
}

// ack ends entries, whichever consumer owns them. Ids that are not pending are
// passed over.
func (g *group) ack(ids ...string) {
	for _, id := range ids {
		if p := g.pending[id]; p != nil {
			p.owner.holds--
			delete(g.pending, id)
		}
	}
}

// unfinished is the lowest position that the group has not got or acknowledged.
func (g *group) unfinished() int {
	lowest := g.next
	for _, p := range g.pending {
		lowest = min(lowest, p.position)
	}
	return lowest
}
