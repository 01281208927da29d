package memorybroker

import (
	"slices"

	"github.com/observatory-go/observatory/engine/message"
)

// holder is the consumer whose pending entries are anybody's.
const holder = "released"

// group is one reader of a stream, shared by its consumers.
type group struct {
	stream *stream
	// next is the position of the first entry that the group has not got.
	next int
	// got is how many entries it ever got.
	got int
	// pending are the entries got and not acknowledged, by id.
	pending   map[string]*pending
	consumers map[string]*consumer
}

// consumer is known by its address; holds is how many entries it has pending.
type consumer struct{ holds int }

// pending is an entry in a consumer's hands.
type pending struct {
	*entry
	owner *consumer
	// count is Redis' delivery count: 1 from the read, then what is written.
	count int
}

// delivery is the entry as a reader sees it, with the calls that stand for its
// delivery count.
func (p *pending) delivery(stream string, calls int) message.Delivery {
	return message.Delivery{Stream: stream, ID: p.text, Fields: p.fields, Attempts: calls}
}

func (g *group) consumer(name string) *consumer {
	c := g.consumers[name]
	if c == nil {
		c = &consumer{}
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
	taken, held := make([]message.Delivery, len(fresh)), make([]pending, len(fresh))
	for i, e := range fresh {
		held[i] = pending{entry: e, owner: c, count: 1}
		g.pending[e.text] = &held[i]
		taken[i] = held[i].delivery(g.stream.name, 0)
	}
	g.next += len(fresh)
	g.got += len(fresh)
	c.holds += len(fresh)
	return taken
}

// held lists up to n of a consumer's pending entries after an id, oldest first.
func (g *group) held(c *consumer, after entryID, n int) []*pending {
	if c.holds == 0 || n < 1 {
		return nil
	}
	var found []*pending
	for _, p := range g.pending {
		if p.owner == c && p.id.compare(after) > 0 {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *pending) int { return a.position - b.position })
	return found[:min(n, len(found))]
}

// ownedBy returns a pending entry if this consumer has it.
func (g *group) ownedBy(c *consumer, id string) (*pending, bool) {
	p := g.pending[id]
	return p, p != nil && p.owner == c
}

func (g *group) move(p *pending, to *consumer) {
	p.owner.holds--
	to.holds++
	p.owner = to
}

// ack ends entries whoever has them: handled is handled. Ids that are not
// pending are passed over.
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
