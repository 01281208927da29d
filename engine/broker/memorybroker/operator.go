package memorybroker

import (
	"context"
	"fmt"

	"github.com/observatory-go/observatory/engine/message"
)

// DestroyGroup removes a group with all that it has pending, as XGROUP DESTROY
// does. A group that does not exist is no error.
func (b *Broker) DestroyGroup(ctx context.Context, stream, group string) error {
	return b.do(ctx, "destroy a group of "+stream, func() error {
		if s := b.streams[stream]; s != nil {
			delete(s.groups, group)
			s.wake()
		}
		return nil
	})
}

// DeleteConsumer removes a consumer of a group with all that it has pending, as
// XGROUP DELCONSUMER does. A consumer that does not exist is no error.
func (b *Broker) DeleteConsumer(ctx context.Context, stream, group, consumer string) error {
	return b.do(ctx, "delete a consumer of "+stream, func() error {
		s := b.streams[stream]
		if s == nil || s.groups[group] == nil {
			return nil
		}
		g := s.groups[group]
		gone := g.consumers[consumer]
		for id, p := range g.pending {
			if p.owner == gone {
				delete(g.pending, id)
			}
		}
		delete(g.consumers, consumer)
		return nil
	})
}

// DeleteStream removes a stream with its groups, as DEL does. A stream that does
// not exist is no error.
func (b *Broker) DeleteStream(ctx context.Context, stream string) error {
	return b.do(ctx, "delete "+stream, func() error {
		if s := b.streams[stream]; s != nil {
			delete(b.streams, stream)
			s.wake()
		}
		return nil
	})
}

// Claim makes an entry pending for a consumer, whatever it was before, with this
// delivery count, as XCLAIM … RETRYCOUNT count FORCE JUSTID does.
func (b *Broker) Claim(ctx context.Context, stream, group, consumer, id string, count int) error {
	return b.do(ctx, "claim from "+stream, func() error {
		s := b.streams[stream]
		if s == nil || s.groups[group] == nil {
			return fmt.Errorf("there is no group %q", group)
		}
		parsed, err := message.ParseEntryID(id)
		if err != nil {
			return err
		}
		g, e := s.groups[group], s.entry(parsed)
		if e == nil {
			return fmt.Errorf("there is no entry %s", id)
		}
		c := g.consumer(consumer)
		if p := g.pending[id]; p != nil {
			g.move(p, c)
			p.count = count
			return nil
		}
		p := &pending{entry: e, owner: c, count: count}
		p.renew()
		g.pending[id] = p
		c.holds++
		return nil
	})
}
