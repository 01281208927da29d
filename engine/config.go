// Package engine runs message handlers over brokers: it builds a subscription
// for each handler and stream, starts them, and stops them in order.
package engine

import (
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Config is what an Engine runs. [domain.Domain.Config] builds one from a file.
type Config struct {
	// Domain is the domain's name.
	Domain string
	// Subscriptions are what to consume, each with its handler and source.
	Subscriptions []Subscription
	// DeadLetters is what is done to dead-letter queues; without policies nothing is.
	DeadLetters deadletter.MaintenanceConfig
	// Health is where probes are answered; Health.Disabled serves none.
	Health HealthConfig
	// ShutdownTimeout is how long in-flight handlers get once the engine must
	// stop; default 10 s.
	ShutdownTimeout time.Duration
	// MaxInflightBytes bounds the bodies of the messages that all subscriptions
	// together have read and not settled; default
	// [subscription.DefaultMaxInflightBytes].
	MaxInflightBytes int64
	// Logger is where the engine logs; default slog.Default().
	Logger *slog.Logger
	// MeterProvider, if set, counts, with the instruments of its SDK, which take
	// a tenth of the throughput. By default the engine counts for itself, for
	// [Engine.Producer]. A no-op provider counts nothing.
	MeterProvider metric.MeterProvider
}

// Subscription is one handler on one source.
type Subscription struct {
	subscription.Config
	Func handler.Func
	// Source opens where the messages come from: [consumergroup.Over] a broker,
	// or [catchup.Over] an event store.
	Source subscription.Opener
	// Pauses is where it is kept whether the subscription is paused by hand, and asked
	// every second; nil where it cannot be. The brokers and event stores of this module
	// are such, each for what it holds.
	Pauses subscription.Pauses
	// BackfillOf, if set, makes this the backfill lane of the subscription that the
	// same handler has to that stream in the same group: it reads while that has
	// nothing to read, and otherwise one message a second.
	BackfillOf string
}

// HealthConfig is where and about what the engine answers probes.
type HealthConfig struct {
	// Disabled serves no probes.
	Disabled bool
	// Address to listen on; default "0.0.0.0:8080".
	Address string
	// Token lets requests from other machines drain the engine; default: only those
	// from this one may. See [health.Config].
	Token string
	// Checks are what readiness asks.
	Checks health.Checks
	// Listening is called once with the address that probes are answered on:
	// with a port of 0 it is known only then. Nil calls nothing.
	Listening func(address net.Addr)
}
