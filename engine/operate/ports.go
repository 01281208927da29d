package operate

import (
	"context"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Catalog returns all subscriptions of a domain, in the order of its handlers. An
// error names every handler whose settings cannot work. It contacts no server.
type Catalog func() ([]Subscription, error)

// Figures is where an Operator reads the figures of the servers. A
// [collector.Collector] is one.
type Figures interface {
	// Snapshot returns what was read before ctx ended; a part that could not be
	// read carries its error.
	Snapshot(ctx context.Context) (*collector.Snapshot, error)
}

// Pauses keeps which subscriptions are paused. The brokers and event stores of this
// module do.
type Pauses interface {
	subscription.Pauses
	// SetPause keeps what is said of a subscription, for all processes.
	SetPause(ctx context.Context, of subscription.Identity, s subscription.PauseState) error
}

// Subscription is one handler on one stream, as it is configured.
type Subscription struct {
	// Handler is the full name, such as shop.orders.OrderProjector.
	Handler string
	Stream  string
	// Group is the consumer group.
	Group string
	// Type is stream, event_store or broker.
	Type string
	// Pauses is where it is kept whether it is paused; nil where it cannot be.
	Pauses Pauses
	// Broker is the name of the broker that has the stream; "" of an event store.
	Broker string
	// Settings are all of the subscription's, in the order in which they are to
	// be shown.
	Settings []Setting
}

// Setting is one resolved setting of a subscription. Its value holds no secret.
type Setting struct {
	// Key is the key as a configuration file spells it, Value its value likewise.
	Key, Value string
	// Origin says where the value comes from, such as "[server] default";
	// empty where that is not known.
	Origin string
}
