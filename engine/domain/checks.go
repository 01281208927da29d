package domain

import (
	"context"

	"github.com/observatory-go/observatory/engine/health"
)

// inMemory answers for what lives in this process.
var inMemory = health.PingFunc(func(context.Context) error { return nil })

// checks are what readiness asks. What the file names and this program has
// no adapter for is left out, and logged.
func (d *Domain) checks() health.Checks {
	checks := health.Checks{
		Providers: map[string]health.Pinger{}, Brokers: map[string]health.Pinger{}, Caches: map[string]health.Pinger{},
	}
	for name, spec := range d.config.Databases {
		if db, ok := d.databases[name]; ok {
			checks.Providers[name] = db
		} else {
			d.check(checks.Providers, "database", name, spec.Provider)
		}
	}
	for name, spec := range d.config.Brokers {
		if b, ok := d.brokers[name]; ok {
			checks.Brokers[name] = b
		} else {
			d.check(checks.Brokers, "broker", name, spec.Provider)
		}
	}
	for name, provider := range d.config.caches {
		d.check(checks.Caches, "cache", name, provider)
	}
	store := map[string]health.Pinger{}
	d.check(store, "event store", "", d.config.eventStore)
	checks.EventStore = store[""]
	return checks
}

func (d *Domain) check(into map[string]health.Pinger, family, name, provider string) {
	if provider == "memory" {
		into[name] = inMemory
		return
	}
	d.log.Warn("not opened and left out of readiness: no adapter for this provider", "component", "domain", "family", family, "name", name, "provider", provider)
}
