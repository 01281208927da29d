package domain

import (
	"maps"
	"slices"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/subscription"
)

// inspectableBroker is a broker that a collector can read.
type inspectableBroker interface {
	Source(domain, name string, watched []collector.Watch) collector.Source
}

// inspectableDatabase is a database that a collector can read.
type inspectableDatabase interface {
	Source(domain, name string) collector.Source
}

// Sources are what a collector reads: the open brokers, with the
// subscriptions of the handlers registered, and the open databases. They are
// usable until the domain is closed.
func (d *Domain) Sources() []collector.Source {
	all, domain := d.BrokerSources(), d.Name()
	for _, name := range slices.Sorted(maps.Keys(d.databases)) {
		if db, ok := d.databases[name].(inspectableDatabase); ok {
			all = append(all, db.Source(domain, name))
		}
	}
	return all
}

// BrokerSources are those of [Domain.Sources] that know of subscriptions.
func (d *Domain) BrokerSources() []collector.Source {
	var all []collector.Source
	domain := d.Name()
	watched := map[string][]collector.Watch{streamBroker: d.watched(domain)}
	for _, name := range slices.Sorted(maps.Keys(d.brokers)) {
		if b, ok := d.brokers[name].(inspectableBroker); ok {
			all = append(all, b.Source(domain, name, watched[name]))
		}
	}
	return all
}

// watched are the subscriptions to streams that run. One that cannot is for
// [Domain.Config] to report.
func (d *Domain) watched(domain string) []collector.Watch {
	var all []collector.Watch
	subscriptions, _ := d.Subscriptions()
	for _, s := range subscriptions {
		if s.resolved.Type == config.TypeEventStore {
			continue
		}
		all = append(all, collector.Watch{
			Domain: domain, Handler: subscription.ShortName(s.Handler), Group: s.Group, Stream: s.Stream, Type: s.Type,
		})
	}
	return all
}
