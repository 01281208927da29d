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
)

// Source tells a collector about this broker, which its domain calls name, and
// about the watched subscriptions. It reads over the broker's own connection
// for looking, within its context's deadline: one pipeline for everything, and
// a second one for what is behind or pending (more where entries have to be
// counted).
//
// A group that does not exist is left out, and so is a stream that does not; a
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

// bounds are how many entries one look may fetch to count them.
type bounds struct {
	page  int64 // in one command, which is also what a lag of Redis' own is checked by
	group int64 // of one group; beyond it the lag is a lower bound
	total int64 // of all groups; beyond it no more is counted
}

var defaultBounds = bounds{page: 1000, group: 10_000, total: 100_000}

func (s *source) Name() string { return "broker:" + s.name }

func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	l := newLook(s)
	err := s.broker.do("look", func() error {
		if err := l.overview(ctx); err != nil {
			return err
		}
		return errors.Join(l.details(ctx), l.trouble())
	})
	if errors.Is(err, broker.ErrClosed) {
		l.server.Up = collector.Known(0)
	}
	return l.figures(), err
}

// look is one Collect under way.
type look struct {
	*source
	streams map[string]*streamLook
	groups  map[groupKey]*groupLook
	server  collector.Broker
	now     time.Time // by Redis' clock; zero: unknown
	left    int64     // entries that may still be fetched
	lost    error     // why the connection is
	errs    []error   // of single keys
}

type groupKey struct{ stream, group string }

func newLook(s *source) *look {
	l := &look{
		source:  s,
		streams: make(map[string]*streamLook),
		groups:  make(map[groupKey]*groupLook),
		server:  collector.Broker{Domain: s.domain, Name: s.name},
		left:    s.bounds.total,
	}
	for _, w := range s.watched {
		l.streams[w.Stream] = &streamLook{}
	}
	return l
}

// pipeline sends what fill adds. Its error is that of the connection; what the
// server refused stands with its command.
func (l *look) pipeline(ctx context.Context, fill func(redis.Pipeliner)) error {
	pipe := l.broker.looker.Pipeline()
	fill(pipe)
	if pipe.Len() == 0 {
		return nil
	}
	cmds, err := pipe.Exec(ctx)
	l.lost = lost(cmds, err)
	return l.lost
}

// lost is what went wrong with the connection itself: an error of the last
// command that is none of the server's, or one that no command has, where the
// server let nobody in. Then each command gets it.
func lost(cmds []redis.Cmder, err error) error {
	failed := func(c redis.Cmder) bool { return c.Err() != nil }
	if err != nil && !slices.ContainsFunc(cmds, failed) {
		for _, c := range cmds {
			c.SetErr(err)
		}
		return err
	}
	var refusal redis.Error
	if last := cmds[len(cmds)-1].Err(); !errors.As(last, &refusal) {
		return last
	}
	return nil
}

// blame remembers what is wrong with one key, if anything is. Absence is
// nothing wrong, and a lost connection is not the key's fault.
func (l *look) blame(key string, err error) {
	switch {
	case err == nil, l.lost != nil && errors.Is(err, l.lost), says(err, "no such key"), says(err, "NOGROUP"):
		return
	case says(err, "WRONGTYPE"):
		err = broker.ErrWrongType
	}
	l.errs = append(l.errs, fmt.Errorf("%q: %w", key, err))
}

// trouble is what is wrong with single keys, the first few named.
func (l *look) trouble() error {
	const named = 5
	if n := len(l.errs); n > named {
		return errors.Join(append(l.errs[:named:named], fmt.Errorf("and %d more", n-named))...)
	}
	return errors.Join(l.errs...)
}

// figures are what was found out, in the order of what is watched.
func (l *look) figures() collector.Figures {
	l.server.PoolActive = collector.Known(float64(l.broker.PoolActive()))
	f := collector.Figures{Brokers: []collector.Broker{l.server}}
	type owned struct{ domain, stream string }
	seen := make(map[owned]bool)
	for _, w := range l.watched {
		stream := l.streams[w.Stream]
		if key := (owned{w.Domain, w.Stream}); !seen[key] {
			seen[key] = true
			l.file(&f, w, stream)
		}
		if group := l.groups[groupKey{w.Stream, w.Group}]; group != nil {
			f.Subscriptions = append(f.Subscriptions, l.subscription(w, group, stream.queue))
		}
	}
	return f
}

// file adds what belongs to a stream, whoever subscribes to it.
func (l *look) file(f *collector.Figures, w collector.Watch, stream *streamLook) {
	if stream.queue.Known {
		f.Queues = append(f.Queues, collector.Queue{
			Domain: w.Domain, Stream: deadletter.QueueOf(w.Stream), Depth: stream.queue,
		})
	}
	if stream.state != nil {
		f.Streams = append(f.Streams, collector.Stream{
			Domain: w.Domain, Stream: w.Stream, EntriesAdded: stream.state.added.value(),
		})
	}
}
