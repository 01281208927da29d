package domain

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/observatory-go/observatory/engine/health"
)

// inMemory answers for what lives in this process.
var inMemory = health.PingFunc(func(context.Context) error { return nil })

// inProcess is the provider that needs no server, and no adapter.
const inProcess = "memory"

// checks are what readiness asks: what is open, and what lives in this process.
func (d *Domain) checks() health.Checks {
	checks := health.Checks{
		Providers: map[string]health.Pinger{}, Brokers: map[string]health.Pinger{}, Caches: map[string]health.Pinger{},
	}
	for name, spec := range d.config.Databases {
		if spec.Provider == inProcess {
			checks.Providers[name] = inMemory
		}
	}
	for name, db := range d.databases {
		checks.Providers[name] = db
	}
	for name, b := range d.brokers {
		checks.Brokers[name] = b
	}
	for name, provider := range d.config.caches {
		if provider == inProcess {
			checks.Caches[name] = inMemory
		}
	}
	if d.config.eventStore == inProcess {
		checks.EventStore = inMemory
	}
	return checks
}

// unopened warns of what the file names and this program has no adapter for.
// Only here is that known: a file is read before anybody says which adapters
// there are.
func (d *Domain) unopened() []Warning {
	var all []Warning
	missing := func(section, provider string) {
		if provider != inProcess {
			all = append(all, Warning{
				Code: CodeNotBuilt, Section: section, Key: "provider",
				Text: fmt.Sprintf("no adapter for %q: it is not opened, and left out of readiness", provider),
			})
		}
	}
	for name, spec := range d.config.Databases {
		if _, open := d.databases[name]; !open {
			missing(section{name: "databases"}.path(name), spec.Provider)
		}
	}
	for name, spec := range d.config.Brokers {
		if _, open := d.brokers[name]; !open {
			missing(section{name: "brokers"}.path(name), spec.Provider)
		}
	}
	for name, provider := range d.config.caches {
		missing(section{name: "caches"}.path(name), provider)
	}
	missing("event_store", d.config.eventStore)
	slices.SortFunc(all, func(a, b Warning) int { return cmp.Compare(a.Section, b.Section) })
	return all
}
