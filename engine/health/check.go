// Package health answers liveness and readiness probes over HTTP.
package health

import "context"

// Pinger is a dependency that can be checked.
type Pinger interface {
	// Ping returns nil when the server behind it answered before ctx ended.
	Ping(ctx context.Context) error
}

// PingFunc is a Pinger.
type PingFunc func(ctx context.Context) error

// Ping calls the function.
func (f PingFunc) Ping(ctx context.Context) error { return f(ctx) }

// Checks are the dependencies of readiness, by family and name.
type Checks struct {
	Providers  map[string]Pinger
	Brokers    map[string]Pinger
	EventStore Pinger // nil where the domain has none
	Caches     map[string]Pinger
}
