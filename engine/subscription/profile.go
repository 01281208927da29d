package subscription

import "time"

// Type is where a subscription reads.
type Type string

// The types of subscription that a file can ask for.
const (
	// TypeStream reads a stream of a broker, through a consumer group.
	TypeStream Type = "stream"
	// TypeEventStore reads a category of the event store, by position.
	TypeEventStore Type = "event_store"
)

// Settings are what one source says of a subscription: a profile, a section of
// the file, a handler's options. A nil field was not given there, so that an
// inherited value shows through; see [Settings.Over].
type Settings struct {
	Type              *Type
	MessagesPerTick   *int
	TickInterval      *time.Duration
	BlockingTimeout   *time.Duration
	MaxRetries        *int // calls in all
	RetryDelay        *time.Duration
	EnableDLQ         *bool
	PositionInterval  *int
	OriginStream      *string
	DLQRetentionHours *int
	DLQAlertThreshold *int
	BreakerThreshold  *int
	BreakerReset      *time.Duration
	RetentionMaxLen   *int
	Order             *string
	Concurrency       *int
	HandlerTimeout    *time.Duration
	RetryMultiplier   *float64
	RetryMaxDelay     *time.Duration
	RetryJitter       *float64
	StartAtEnd        *bool
	ClaimIdle         *time.Duration
}

// Over returns s with what it leaves out taken from below.
func (s Settings) Over(below Settings) Settings {
	return Settings{
		Type:              given(s.Type, below.Type),
		MessagesPerTick:   given(s.MessagesPerTick, below.MessagesPerTick),
		TickInterval:      given(s.TickInterval, below.TickInterval),
		BlockingTimeout:   given(s.BlockingTimeout, below.BlockingTimeout),
		MaxRetries:        given(s.MaxRetries, below.MaxRetries),
		RetryDelay:        given(s.RetryDelay, below.RetryDelay),
		EnableDLQ:         given(s.EnableDLQ, below.EnableDLQ),
		PositionInterval:  given(s.PositionInterval, below.PositionInterval),
		OriginStream:      given(s.OriginStream, below.OriginStream),
		DLQRetentionHours: given(s.DLQRetentionHours, below.DLQRetentionHours),
		DLQAlertThreshold: given(s.DLQAlertThreshold, below.DLQAlertThreshold),
		BreakerThreshold:  given(s.BreakerThreshold, below.BreakerThreshold),
		BreakerReset:      given(s.BreakerReset, below.BreakerReset),
		RetentionMaxLen:   given(s.RetentionMaxLen, below.RetentionMaxLen),
		Order:             given(s.Order, below.Order),
		Concurrency:       given(s.Concurrency, below.Concurrency),
		HandlerTimeout:    given(s.HandlerTimeout, below.HandlerTimeout),
		RetryMultiplier:   given(s.RetryMultiplier, below.RetryMultiplier),
		RetryMaxDelay:     given(s.RetryMaxDelay, below.RetryMaxDelay),
		RetryJitter:       given(s.RetryJitter, below.RetryJitter),
		StartAtEnd:        given(s.StartAtEnd, below.StartAtEnd),
		ClaimIdle:         given(s.ClaimIdle, below.ClaimIdle),
	}
}

func given[T any](above, below *T) *T {
	if above != nil {
		return above
	}
	return below
}

// Profile names settings for a kind of load. A file may define more of its own.
type Profile string

// The profiles that exist without being defined.
const (
	Production Profile = "production" // steady throughput
	Fast       Profile = "fast"       // low latency, few retries
	Batch      Profile = "batch"      // large reads, patient retries
	Debug      Profile = "debug"      // one message at a time, nothing kept
	Projection Profile = "projection" // read models, from the event store
)

// Profiles lists the names of all of them, in the order of the alphabet.
func Profiles() []Profile { return []Profile{Batch, Debug, Fast, Production, Projection} }

// Settings returns what the profile sets, and whether there is such a profile.
// None sets a circuit breaker or retention: these are asked for by name.
func (p Profile) Settings() (s Settings, ok bool) {
	switch p {
	case Production:
		return profile(TypeStream, 100, 0, 5*time.Second, 3, time.Second, true, 10), true
	case Fast:
		return profile(TypeStream, 10, 0, 100*time.Millisecond, 2, 0, true, 5), true
	case Batch:
		return profile(TypeStream, 500, 0, 10*time.Second, 5, 2*time.Second, true, 50), true
	case Debug:
		return profile(TypeStream, 1, time.Second, time.Second, 1, 0, false, 1), true
	case Projection:
		return profile(TypeEventStore, 100, 0, 5*time.Second, 3, time.Second, false, 10), true
	}
	return Settings{}, false
}

// Defaults are the settings of a subscription of which nothing is said; a
// profile that a file defines starts from them.
func Defaults() Settings {
	s := profile(TypeStream, 10, 0, 5*time.Second, 3, time.Second, true, 10)
	s.BreakerReset = new(60 * time.Second)
	s.Order = new(OrderStream)
	s.Concurrency = new(1)
	s.HandlerTimeout = new(300 * time.Second)
	s.RetryMultiplier = new(1.0)
	s.RetryMaxDelay = new(time.Duration(0))
	s.RetryJitter = new(0.0)
	s.StartAtEnd = new(false)
	s.ClaimIdle = new(60 * time.Second)
	return s
}

// profile is one column of the reference's table, in its order of rows.
func profile(t Type, messages int, tick, block time.Duration, calls int, delay time.Duration, dlq bool, position int) Settings {
	return Settings{
		Type: &t, MessagesPerTick: &messages, TickInterval: &tick, BlockingTimeout: &block,
		MaxRetries: &calls, RetryDelay: &delay, EnableDLQ: &dlq, PositionInterval: &position,
	}
}
