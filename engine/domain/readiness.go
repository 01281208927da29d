package domain

import (
	"context"

	"github.com/observatory-go/observatory/engine/health"
)

// memory is the provider that needs no server and no adapter; ready answers
// for it.
const memory = "memory"

var ready = health.PingFunc(func(context.Context) error { return nil })

// Checks are what readiness asks: what is open, and what lives in this process. They
// are asked on connections of their own, until the domain is closed.
func (d *Domain) Checks() health.Checks {
	checks := health.Checks{
		Providers: map[string]health.Pinger{}, Brokers: map[string]health.Pinger{}, Caches: map[string]health.Pinger{},
	}
	for name, spec := range d.config.Databases {
		if spec.Provider == memory {
			checks.Providers[name] = ready
		}
	}
	for name, db := range d.databases {
		checks.Providers[name] = db
	}
	for name, b := range d.brokers {
		checks.Brokers[name] = b
	}
	for name, provider := range d.config.Caches {
		if provider == memory {
			checks.Caches[name] = ready
		}
	}
	switch {
	case d.store != nil:
		checks.EventStore = d.store
	case d.config.EventStore.Provider == memory:
		checks.EventStore = ready
	}
	return checks
}
