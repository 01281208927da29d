package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Source tells a collector about this broker, which its domain calls name, and
// about the watched subscriptions. It reads over the inspector's own connection,
// within its context's deadline: one pipeline for everything, and a second one
// for what is behind or pending (more where entries have to be counted).
//
// The broker is up if entries can be consumed; see [Broker.Ping].
//
// A group that does not exist is left out, unless it is paused, and so is a stream that does not; a
// dead-letter queue that does not exist is empty. A key of another type is an
// error: what it would have told is missing, all else is there.
func (b *Broker) Source(domain, name string, watched []collector.Watch) collector.Source {
	return &source{broker: b, domain: domain, name: name, watched: watched, bounds: defaultBounds}
}

type source struct {
	broker       *Broker
	domain, name string
	watched      []collector.Watch
	bounds       bounds
}

// bounds are how many entries one inspection may fetch to count them.
type bounds struct {
	page  int64 // in one command; also what a lag of Redis' own must be below to be checked
	group int64 // of one group; beyond it the lag is a lower bound
	total int64 // of all groups; beyond it no more is counted
	bytes int64 // of all of them, as far as the size of the streams' first and last entry tells
}

var defaultBounds = bounds{page: 1000, group: 10_000, total: 100_000, bytes: 16 << 20}

func (s *source) Name() string { return "broker:" + s.name }

func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	in := newInspection(s)
	err := s.broker.do("inspect", func() error {
		if err := in.overview(ctx); err != nil {
			return err
		}
		return errors.Join(in.details(ctx), in.errorOfKeys())
	})
	if errors.Is(err, broker.ErrClosed) {
		in.server.Up = collector.Known(0)
	}
	return in.figures(), err
}

// inspection is one Collect under way.
type inspection struct {
	*source
	streams map[string]*inspectedStream
	groups  map[groupKey]*inspectedGroup
	pauses  map[subscription.Identity]subscription.PauseState // those that were read
	server  collector.Broker
	now     time.Time // by Redis' clock; zero: unknown
	left    int64     // entries that may still be fetched
	bytes   int64     // and bytes of them
	lost    error     // why the connection is
	errs    []error   // of single keys
}

type groupKey struct{ stream, group string }

func newInspection(s *source) *inspection {
	in := &inspection{
		source:  s,
		streams: make(map[string]*inspectedStream),
		groups:  make(map[groupKey]*inspectedGroup),
		server:  collector.Broker{Domain: s.domain, Name: s.name},
		left:    s.bounds.total,
		bytes:   s.bounds.bytes,
	}
	for _, w := range s.watched {
		in.streams[w.Stream] = &inspectedStream{}
	}
	return in
}

// pipeline sends what fill adds. Its error is that of the connection; what the
// server refused stands with its command.
func (in *inspection) pipeline(ctx context.Context, fill func(redis.Pipeliner)) error {
	pipe := in.broker.inspector.Pipeline()
	fill(pipe)
	if pipe.Len() == 0 {
		return nil
	}
	cmds, err := pipe.Exec(ctx)
	in.lost = connectionError(cmds, err)
	return in.lost
}

// connectionError is what went wrong with the connection itself: an error that
// is none of the server's, or one that no command has, where the server refused
// the user. Then each command gets it.
func connectionError(cmds []redis.Cmder, err error) error {
	failed := func(c redis.Cmder) bool { return c.Err() != nil }
	if err != nil && !slices.ContainsFunc(cmds, failed) {
		for _, c := range cmds {
			c.SetErr(err)
		}
		return err
	}
	var refusal redis.Error
	for _, c := range cmds {
		if err := c.Err(); err != nil && !errors.As(err, &refusal) {
			return err
		}
	}
	return nil
}

// noteError records what is wrong with one key, if anything is. Absence is
// nothing wrong, and a lost connection is not an error of the key.
func (in *inspection) noteError(key string, err error) {
	switch {
	case err == nil, in.lost != nil && errors.Is(err, in.lost), hasCode(err, "no such key"), hasCode(err, "NOGROUP"):
		return
	case hasCode(err, "WRONGTYPE"):
		err = broker.ErrWrongType
	}
	in.errs = append(in.errs, fmt.Errorf("%q: %w", key, err))
}

// errorOfKeys is what is wrong with single keys, the first few named.
func (in *inspection) errorOfKeys() error {
	const named = 5
	if n := len(in.errs); n > named {
		return errors.Join(append(in.errs[:named:named], fmt.Errorf("and %d more", n-named))...)
	}
	return errors.Join(in.errs...)
}

// figures are what was found out, in the order of what is watched.
func (in *inspection) figures() collector.Figures {
	in.server.PoolActive = collector.Known(float64(in.broker.PoolActive()))
	f := collector.Figures{Brokers: []collector.Broker{in.server}}
	type owned struct{ domain, stream string }
	seen := make(map[owned]bool)
	for _, w := range in.watched {
		stream := in.streams[w.Stream]
		if key := (owned{w.Domain, w.Stream}); !seen[key] {
			seen[key] = true
			in.addStream(&f, w, stream)
		}
		group := in.groups[groupKey{w.Stream, w.Group}]
		pause, read := in.pauses[subscription.Identity{Stream: w.Stream, Group: w.Group}]
		if group == nil && !pause.Paused {
			continue
		}
		s := collector.Subscription{Watch: w}
		if group != nil {
			s = in.subscription(w, group, stream.queue)
		}
		if read {
			s.SetPause(pause.Paused, collector.Pause{By: pause.By, At: pause.At, Reason: pause.Reason})
		}
		f.Subscriptions = append(f.Subscriptions, s)
	}
	return f
}

// addStream adds what belongs to a stream, whichever group reads it.
func (in *inspection) addStream(f *collector.Figures, w collector.Watch, stream *inspectedStream) {
	if stream.queue.Known {
		f.Queues = append(f.Queues, collector.Queue{
			Domain: w.Domain, Stream: deadletter.QueueOf(w.Stream), Depth: stream.queue,
		})
	}
	if stream.state != nil {
		held, by := in.broker.retained.held(w.Stream)
		f.Streams = append(f.Streams, collector.Stream{
			Domain: w.Domain, Stream: w.Stream, EntriesAdded: stream.state.added.value(),
			RetentionHeld: held, RetentionHeldBy: by,
		})
	}
}
