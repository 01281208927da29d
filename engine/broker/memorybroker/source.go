package memorybroker

import (
	"context"
	"errors"
	"time"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Source tells a collector about this broker, which its domain calls name, and
// about the watched subscriptions. All figures are exact. A subscription whose
// group does not exist yet is left out, unless it is paused, and so is a stream that does not; a
// dead-letter queue that does not exist is empty. There is no server and no
// pool to have figures of.
func (b *Broker) Source(domain, name string, watched []collector.Watch) collector.Source {
	return &source{broker: b, domain: domain, name: name, watched: watched}
}

type source struct {
	broker       *Broker
	domain, name string
	watched      []collector.Watch
}

func (s *source) Name() string { return "broker:" + s.name }

func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	var f collector.Figures
	err := s.broker.do(ctx, "inspect "+s.name, func() error {
		s.read(&f, time.Now())
		return nil
	})
	f.Brokers = []collector.Broker{{Domain: s.domain, Name: s.name, Up: up(err)}}
	return f, err
}

// up is unknown where the caller did not wait for the answer.
func up(err error) collector.Value {
	switch {
	case err == nil:
		return collector.Known(1)
	case errors.Is(err, broker.ErrClosed):
		return collector.Known(0)
	}
	return collector.Value{}
}

func (s *source) read(f *collector.Figures, now time.Time) {
	type owned struct{ domain, stream string }
	seen := map[owned]bool{}
	for _, w := range s.watched {
		stream := s.broker.streams[w.Stream]
		depth := s.broker.depth(deadletter.QueueOf(w.Stream))
		if key := (owned{w.Domain, w.Stream}); !seen[key] {
			seen[key] = true
			f.Queues = append(f.Queues, collector.Queue{Domain: w.Domain, Stream: deadletter.QueueOf(w.Stream), Depth: depth})
			if stream != nil {
				of := collector.Stream{Domain: w.Domain, Stream: w.Stream, EntriesAdded: known(stream.added())}
				if t := stream.retained; t != nil {
					of.RetentionHeld, of.RetentionHeldBy = known(t.Beyond), t.Group
				}
				f.Streams = append(f.Streams, of)
			}
		}
		pause := s.broker.pauses[subscription.Identity{Stream: w.Stream, Group: w.Group}]
		joined := stream != nil && stream.groups[w.Group] != nil
		if !joined && !pause.Paused {
			continue
		}
		var sub collector.Subscription
		if joined {
			sub = stream.groups[w.Group].figures(now)
			sub.DeadLetters = depth
		}
		sub.Watch = w
		sub.SetPause(pause.Paused, collector.Pause{By: pause.By, At: pause.At, Reason: pause.Reason})
		f.Subscriptions = append(f.Subscriptions, sub)
	}
}

// depth is a stream's length; one that does not exist has none.
func (b *Broker) depth(stream string) collector.Value {
	if s := b.streams[stream]; s != nil {
		return known(len(s.entries))
	}
	return known(0)
}

func (g *group) figures(now time.Time) collector.Subscription {
	return collector.Subscription{
		Lag:                     known(g.stream.added() - g.next),
		LagExact:                known(1),
		LagSeconds:              g.stream.ageAt(g.next, now),
		Pending:                 known(len(g.pending)),
		OldestUnfinishedSeconds: g.stream.ageAt(g.unfinished(), now),
		EntriesRead:             known(g.got),
	}
}

// ageAt is the age in seconds of the entry at a position; 0 where none is yet.
func (s *stream) ageAt(position int, now time.Time) collector.Value {
	if position >= s.added() {
		return collector.Known(0)
	}
	return collector.Known(ageOf(s.from(position)[0].id, now).Seconds())
}

func known(n int) collector.Value { return collector.Known(float64(n)) }
