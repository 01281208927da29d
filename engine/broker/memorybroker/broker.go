// Package memorybroker is a broker within the process: streams, consumer
// groups, pending entries and dead-letter queues as Redis has them, for tests,
// for the embedded sample and for the provider that files call `inline`.
// Nothing in it outlives the process.
//
// It waits on channels and timers only, so a Broker made inside a
// testing/synctest bubble runs on the bubble's clock.
package memorybroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Broker holds streams in memory. Its methods may be called side by side. The
// caller of [New] closes it.
type Broker struct {
	maxLen int
	// closed is closed by Close, so that waiting reads end.
	closed chan struct{}

	// mu guards all that follows, what the streams hold included. Operations
	// are short and take batches, so one lock is enough.
	mu      sync.Mutex
	streams map[string]*stream
	pauses  map[subscription.Identity]subscription.PauseState
	alerted map[string]time.Time // until when the alert of a stream's queue is held; nil before the first
}

// Option changes what New makes.
type Option func(*Broker)

// WithMaxLen keeps about n entries in each stream, dead-letter queues included:
// beyond it the oldest go, except those that some group has not acknowledged.
// By default, and for n below 1, everything is kept.
func WithMaxLen(n int) Option {
	return func(b *Broker) { b.maxLen = n }
}

// New returns an empty broker.
func New(options ...Option) *Broker {
	b := &Broker{closed: make(chan struct{}), streams: map[string]*stream{}, pauses: map[subscription.Identity]subscription.PauseState{}}
	for _, set := range options {
		set(b)
	}
	return b
}

// Capabilities are all but Durable.
func (b *Broker) Capabilities() broker.Capability {
	return broker.ConsumerGroups | broker.DeadLetters | broker.BlockingRead
}

// Ping fails only after Close or once ctx has ended.
func (b *Broker) Ping(ctx context.Context) error {
	return b.do(ctx, "ping", func() error { return nil })
}

// Close ends waiting reads; every later operation fails with broker.ErrClosed.
// It never fails and is harmless when repeated.
func (b *Broker) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isClosed() {
		close(b.closed)
	}
	return nil
}

// Publish adds an entry of these fields to a stream, which it creates if need
// be, and returns the entry's id. The values are copied. An entry without a
// field is refused, since none is what a deleted entry looks like.
func (b *Broker) Publish(ctx context.Context, stream string, fields ...message.Field) (id string, err error) {
	err = b.do(ctx, "publish to "+stream, func() error {
		if len(fields) == 0 {
			return errors.New("an entry needs at least one field")
		}
		id = b.stream(stream).add(copyFields(fields)).text
		return nil
	})
	return id, err
}

// Join implements [consumergroup.Broker]. It fails only after Close, once ctx
// has ended, or where a name is missing or is that of released entries.
func (b *Broker) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	err := b.do(ctx, "join "+m.Stream, func() error {
		switch {
		case m.Stream == "" || m.Group == "" || m.Consumer == "":
			return fmt.Errorf("stream %q, group %q and consumer %q must all be named", m.Stream, m.Group, m.Consumer)
		case m.Consumer == released:
			return fmt.Errorf("consumer %q owns what engines released: give this consumer another name", released)
		}
		s := b.stream(m.Stream)
		if s.groups[m.Group] == nil {
			s.groups[m.Group] = newGroup(s, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &membership{broker: b, member: m}, nil
}

// do runs one operation under the lock; what names it in errors.
func (b *Broker) do(ctx context.Context, what string, operation func() error) error {
	err := ctx.Err()
	if err == nil {
		err = b.locked(operation)
	}
	if err != nil {
		return fmt.Errorf("memory broker: %s: %w", what, err)
	}
	return nil
}

func (b *Broker) locked(operation func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() {
		return broker.ErrClosed
	}
	return operation()
}

func (b *Broker) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// stream returns the named stream, made if need be.
func (b *Broker) stream(name string) *stream {
	s := b.streams[name]
	if s == nil {
		s = &stream{name: name, maxLen: b.maxLen, groups: map[string]*group{}}
		b.streams[name] = s
	}
	return s
}

// copyFields copies the values into one buffer, each capped to its own part.
func copyFields(fields []message.Field) []message.Field {
	size := 0
	for _, f := range fields {
		size += len(f.Value)
	}
	copied, buffer := slices.Clone(fields), make([]byte, 0, size)
	for i, f := range fields {
		start := len(buffer)
		buffer = append(buffer, f.Value...)
		copied[i].Value = slices.Clip(buffer[start:])
	}
	return copied
}
