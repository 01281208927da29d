package handler

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/observatory-go/observatory/engine/message"
)

// Kind is what sort of handler a Registration is.
type Kind int

// The kinds of handler.
const (
	// KindEvent handles the events of one category.
	KindEvent Kind = iota + 1
	// KindCommand handles commands; all command handlers of a category share
	// one dispatcher.
	KindCommand
	// KindProjector handles the events of several categories.
	KindProjector
	// KindSubscriber handles the entries of any stream, in whatever form its
	// producer writes them.
	KindSubscriber
)

// Format says how a stream's entries are read.
type Format int

// The formats of stream entries.
const (
	// FormatEnvelope is the message of the wire format, as JSON text in the
	// field `data`.
	FormatEnvelope Format = iota
	// FormatObject is any JSON object in the field `data`: it is the payload.
	FormatObject
	// FormatFields is an entry of any shape in UTF-8: its fields become the payload.
	FormatFields
)

// Registration is one handler as a program declares it. Build it with [Events],
// [Commands], [Projector] or [Subscriber].
type Registration struct {
	// Name is the handler's full name. The part after the last dot is its
	// short name: the metrics' label and the key of its section in the file.
	// The whole is the consumer group.
	Name string
	Kind Kind
	// Streams are the categories to consume (for commands without `:command`).
	Streams []string
	// Routes say which types are handled, and by what.
	Routes []Route
	Format Format
	Options
}

// Options override what the file says of a handler.
type Options struct {
	// Group names the consumer group; default: the handler's full name.
	Group string
	// Broker names the broker of [brokers] whose streams are read; default "default",
	// where Protean publishes.
	Broker string
	// Profile names a subscription profile.
	Profile string
	// Type is the subscription's type: "stream" or "event_store".
	Type string
	// SourceStream keeps only messages whose origin stream is of this category.
	SourceStream string
	// Settings are keys of [server.subscriptions.<name>], `profile` included,
	// with the same values. They beat every other source.
	Settings map[string]any
}

// Route sends the messages of one type to a function.
type Route struct {
	// Type is the message's type string; empty for every type.
	Type string
	Func Func
}

// Events registers a handler for the events of a category.
func Events(name, category string, routes ...Route) Registration {
	return Registration{Name: name, Kind: KindEvent, Streams: []string{category}, Routes: routes}
}

// Commands registers a handler for the commands of a category, which travel on
// the stream `<category>:command`.
func Commands(name, category string, routes ...Route) Registration {
	return Registration{Name: name, Kind: KindCommand, Streams: []string{category}, Routes: routes}
}

// Projector registers a handler for the events of several categories.
func Projector(name string, categories []string, routes ...Route) Registration {
	return Registration{Name: name, Kind: KindProjector, Streams: categories, Routes: routes}
}

// Subscriber registers a function for a stream that other programs write. The
// payload is the JSON object in each entry's field `data`; with
// [Registration.WithFields] the entry's own fields.
func Subscriber(name, stream string, fn Func) Registration {
	return Registration{
		Name: name, Kind: KindSubscriber, Streams: []string{stream},
		Routes: []Route{Any(fn)}, Format: FormatObject,
	}
}

// With returns the registration with options set.
func (r Registration) With(o Options) Registration {
	r.Options = o
	return r
}

// WithFields returns the registration reading entries of any shape in UTF-8.
func (r Registration) WithFields() Registration {
	r.Format = FormatFields
	return r
}

// On routes a message type to a function that takes its payload as a T, decoded
// with encoding/json. A payload that does not decode is rejected.
func On[T any](typ string, fn func(ctx context.Context, payload T, m *message.Envelope) error) Route {
	return Route{Type: typ, Func: func(ctx context.Context, m *message.Envelope) error {
		var payload T
		if err := json.Unmarshal(m.Data, &payload); err != nil {
			return RejectUncalled(fmt.Errorf("payload of %s is not a %T: %w", typ, payload, err))
		}
		return fn(ctx, payload, m)
	}}
}

// Any routes every type that has no route of its own.
func Any(fn Func) Route { return Route{Func: fn} }
