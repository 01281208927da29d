package subscription

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/retry"
)

// Config is one subscription, resolved: nothing in it is looked up again.
type Config struct {
	// Domain is the domain's name: the label `domain`.
	Domain string
	// Handler is the handler's full name. Its part after the last dot is the
	// labels `handler` and `subscription`.
	Handler string
	// Group is the consumer group.
	Group string
	// Stream is the stream to consume.
	Stream string
	// Format is how entries are read; default [handler.FormatEnvelope].
	Format handler.Format

	// MessagesPerTick is how many entries one read takes; default 10.
	MessagesPerTick int
	// TickInterval is a pause between reads; default 0.
	TickInterval time.Duration
	// BlockingTimeout is how long a read waits for entries; default 5 s. It is
	// cut into waits of at most a second, so that stopping is prompt.
	BlockingTimeout time.Duration
	// Retry says whether and when a failed message is called again.
	Retry retry.Policy
	// DeadLetters keeps what is given up in the stream's dead-letter queue; without
	// it, it is discarded. An event store keeps it in any case, recorded as exhausted:
	// there it says that this is counted.
	DeadLetters bool
	// OriginStream, if set, keeps only messages whose origin stream is of this
	// category; others are acknowledged and counted as skipped.
	OriginStream string
	// Order says which messages must not overtake each other: OrderStream
	// (the default), OrderNone, or the name of a payload field.
	Order string
	// Concurrency is how many handlers run side by side; default 1.
	Concurrency int
	// HandlerTimeout ends a handler's context; default 300 s.
	HandlerTimeout time.Duration
	// ClaimIdle is how long an entry may look idle before another engine may
	// take it for left behind; default 60 s. What is in flight is renewed every
	// third of it.
	ClaimIdle time.Duration
	// FromEnd starts a new group at the stream's end.
	FromEnd bool
	// RetentionMaxLen is how many entries the stream is trimmed to; 0 keeps all. What
	// some group has not acknowledged is never removed. Of several subscriptions of
	// one stream the largest holds.
	RetentionMaxLen int
	// DeadLetterRetention and DeadLetterThreshold are how long dead letters of the
	// stream are kept, and from how many on there are alerts; 0 leaves either to what
	// holds for all streams.
	DeadLetterRetention time.Duration
	DeadLetterThreshold int
	// PositionInterval is after how many messages the position in an event store is
	// saved; default 10. It is saved each second too, and at a stop.
	PositionInterval int
	// BreakerThreshold is how many messages in a row must fail for nothing to be called
	// for BreakerReset; 0, the default, is never. A message fails by a call that failed
	// or was rejected, and counts once, however often it is attempted.
	BreakerThreshold int
	// BreakerReset is how long the circuit breaker is open before one message at a
	// time is tried; default 60 s.
	BreakerReset time.Duration
	// SkipChecksums turns verification off.
	SkipChecksums bool
}

// The orders that are not a payload field's name.
const (
	// OrderStream keeps the order of each message's own stream: one aggregate.
	// Entries of foreign shape have none, and keep no order.
	OrderStream = "stream"
	// OrderNone keeps no order.
	OrderNone = "none"
)

// WithDefaults returns the config with its documented defaults filled in.
func (c Config) WithDefaults() Config {
	if c.Group == "" {
		c.Group = c.Handler
	}
	if c.MessagesPerTick == 0 {
		c.MessagesPerTick = 10
	}
	if c.BlockingTimeout == 0 {
		c.BlockingTimeout = 5 * time.Second
	}
	if c.Order == "" {
		c.Order = OrderStream
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	if c.HandlerTimeout == 0 {
		c.HandlerTimeout = 300 * time.Second
	}
	if c.ClaimIdle == 0 {
		c.ClaimIdle = 60 * time.Second
	}
	if c.PositionInterval == 0 {
		c.PositionInterval = 10
	}
	if c.BreakerReset == 0 {
		c.BreakerReset = 60 * time.Second
	}
	c.Retry = c.Retry.WithDefaults()
	return c
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Handler == "" {
		bad("Handler must be set: it names the subscription")
	}
	if c.Stream == "" {
		bad("Stream must be set")
	}
	if c.MessagesPerTick < 1 {
		bad("MessagesPerTick must be positive, got %d", c.MessagesPerTick)
	}
	if c.Concurrency < 1 {
		bad("Concurrency must be positive, got %d", c.Concurrency)
	}
	if c.TickInterval < 0 {
		bad("TickInterval must not be negative, got %s", c.TickInterval)
	}
	if c.BlockingTimeout < 0 {
		bad("BlockingTimeout must be positive, got %s", c.BlockingTimeout)
	}
	if c.RetentionMaxLen < 0 {
		bad("RetentionMaxLen must not be negative, got %d", c.RetentionMaxLen)
	}
	if c.ClaimIdle < 0 {
		bad("ClaimIdle must be positive, got %s", c.ClaimIdle)
	}
	if c.HandlerTimeout < 0 {
		bad("HandlerTimeout must be positive, got %s", c.HandlerTimeout)
	}
	if c.BreakerThreshold < 0 {
		bad("BreakerThreshold must not be negative, got %d: 0 is no circuit breaker", c.BreakerThreshold)
	}
	if c.BreakerReset < 0 {
		bad("BreakerReset must be positive, got %s", c.BreakerReset)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("subscription %q on %q: %w", c.Handler, c.Stream, err)
	}
	return nil
}

// ShortName is the part of a handler's name after the last dot. The name of a
// command dispatcher is not cut: it has its own.
func ShortName(name string) string {
	const dispatchers = "protean.server.engine.Commands:"
	if after, ok := strings.CutPrefix(name, dispatchers); ok {
		return "Commands:" + after
	}
	return name[strings.LastIndexByte(name, '.')+1:]
}
