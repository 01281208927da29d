package engine

import (
	"context"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Broker is what an adapter of a broker implements.
type Broker interface {
	consumergroup.Broker
	deadletter.Queue
	health.Pinger
	// Capabilities says what the broker can do.
	Capabilities() broker.Capability
	// Close ends its connections; what still uses it fails with
	// broker.ErrClosed. It is bounded by ctx and harmless when repeated.
	Close(ctx context.Context) error
}

// Database is what an adapter of a database implements.
type Database interface {
	health.Pinger
	// Close ends its connections, waiting for borrowed ones until ctx ends.
	Close(ctx context.Context) error
}

// EventStore is what an adapter of an event store implements.
type EventStore interface {
	catchup.Store
	health.Pinger
	// Close ends its connections; it is bounded by ctx and harmless when
	// repeated.
	Close(ctx context.Context) error
}
