// Package collector reads the servers of a domain into one consistent snapshot,
// under one deadline, and shares it between callers that come at the same time.
// It depends neither on Prometheus nor on the engine.
package collector

import (
	"context"
	"time"
)

// Source is one server that can be read: a broker, a database.
type Source interface {
	// Name is stable and unique among the sources of a Collector, such as
	// "broker:default". It becomes the label `source`.
	Name() string
	// Collect reads the figures before ctx ends. Figures read before an error
	// are returned beside it.
	Collect(ctx context.Context) (Figures, error)
}

// Snapshot is one reading: a part for each source, in the order of the sources.
type Snapshot struct {
	Taken time.Time
	Parts []Part
}

// Part is what one source returned, how long that took and how it ended.
type Part struct {
	Source   string
	Duration time.Duration
	// Err is nil when the source was read whole.
	Err error
	Figures
}

// Figures are what sources return. A figure that could not be read is unknown,
// never zero; what no longer exists is not in the list.
type Figures struct {
	Subscriptions []Subscription
	Queues        []Queue
	Brokers       []Broker
	Pools         []Pool
	Outboxes      []Outbox
	Streams       []Stream
	EventStores   []EventStore
}

// Value is a figure that may be unknown. Its zero value is unknown.
type Value struct {
	V     float64
	Known bool
}

// Known returns a known figure.
func Known(v float64) Value { return Value{V: v, Known: true} }

// Watch identifies a subscription whose figures are read.
type Watch struct {
	Domain  string
	Handler string // the short name: the label `handler`
	Group   string
	Stream  string
	Type    string // stream, event_store, broker or outbox
	// Subscriber is the handler's full name, which the position in an event store is
	// kept by; "" of a stream's. No label.
	Subscriber string
}

// Subscription are the figures of one watched subscription: facts about the
// shared system, the same from every replica.
type Subscription struct {
	Watch
	// Lag is how many entries the group has not been given yet.
	Lag Value
	// LagExact is 1 where Lag is the true count, 0 where it is an
	// estimate: a lower bound, or a server's figure that nothing proves.
	LagExact Value
	// LagSeconds is the age of the oldest entry that the group has not been
	// given; 0 where there is none.
	LagSeconds Value
	// Pending is how many entries were delivered and not acknowledged.
	Pending Value
	// OldestUnfinishedSeconds is the age of the oldest entry not yet given or
	// still pending; 0 where there is none.
	OldestUnfinishedSeconds Value
	// OldestPendingSeconds is the age of the oldest entry that is pending; 0 where none
	// is.
	OldestPendingSeconds Value
	// LastSeenSeconds is how long ago one of its consumers last showed life, infinite
	// where it has none. It is read where there is something to do, and else unknown.
	LastSeenSeconds Value
	// Paused is 1 where it is paused by hand, else 0. Of one that was paused before its
	// group was made, all other figures are unknown.
	Paused Value
	// Pause says more of that; nil where it is not paused, or not known to be.
	Pause *Pause
	// Health and DrainSeconds, the time until nothing is left where lag stays above
	// zero and falls, come from this snapshot and those before it: the collector notes
	// them.
	Health       Health
	DrainSeconds Value
	// DeadLetters is the depth of the dead-letter queue of its stream; of an
	// event-store subscription, how many messages it gave up on.
	DeadLetters Value
	// PositionAhead is 1 where the position is beyond the event store's head, or the
	// group's beyond the last id of its stream, else 0.
	PositionAhead Value
	// EntriesRead counts the entries that the group was ever given.
	EntriesRead Value
}

// Pause is what an operator said who paused a subscription. What is not known is
// empty.
type Pause struct {
	By     string
	At     time.Time
	Reason string
}

// SetPause notes whether a subscription is paused, and what is said of that.
func (s *Subscription) SetPause(paused bool, p Pause) {
	if s.Pause, s.Paused = nil, Known(0); paused {
		s.Pause, s.Paused = &p, Known(1)
	}
}

// Queue is one dead-letter queue.
type Queue struct {
	Domain string
	Stream string // the queue's own stream: `<stream>:dlq`, in an event store that of the failed positions
	Depth  Value
}

// Stream is one watched stream.
type Stream struct {
	Domain string
	Stream string
	// EntriesAdded counts the entries ever added to it.
	EntriesAdded Value
	// RetentionHeld counts the entries that it keeps beyond its retention, since a
	// group has not acknowledged them or older ones: the group RetentionHeldBy, or
	// one that does not exist yet. Both are as the last trimming by this process
	// left them, unknown where it trims no such stream.
	RetentionHeld   Value
	RetentionHeldBy string
}

// EventStore are the figures of an event store.
type EventStore struct {
	Domain string
	// Head is the global position of its last message; 0 where it has none.
	Head Value
}

// Broker are the figures of one broker's server and of this process' pool.
type Broker struct {
	Domain           string
	Name             string
	Up               Value // 1 or 0
	MemoryBytes      Value
	ConnectedClients Value
	OpsPerSecond     Value
	// PoolActive is how many of this process' connections are in use.
	PoolActive Value
}

// Pool is a database connection pool of this process, in SQLAlchemy's terms:
// CheckedIn + CheckedOut = Size + Overflow always.
type Pool struct {
	Domain       string
	Provider     string // the name under [databases]
	DatabaseType string // postgresql, mssql, sqlite
	Size         int
	CheckedOut   int
	Overflow     int
	CheckedIn    int
}

// Outbox are the figures of one domain's outbox.
type Outbox struct {
	Domain  string
	Pending Value
}
