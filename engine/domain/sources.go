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

// inspectableEventStore is an event store that a collector can read.
type inspectableEventStore interface {
	Source(domain string, watched []collector.Watch) collector.Source
}

// Sources are what a collector reads: the open brokers and the event store, with
// the subscriptions of the handlers registered, and the open databases. They are
// usable until the domain is closed.
func (d *Domain) Sources() []collector.Source {
	all, domain := d.SubscriptionSources(), d.Name()
	for _, name := range slices.Sorted(maps.Keys(d.databases)) {
		if db, ok := d.databases[name].(inspectableDatabase); ok {
			all = append(all, db.Source(domain, name))
		}
	}
	return all
}

// SubscriptionSources are those of [Domain.Sources] that know of subscriptions.
func (d *Domain) SubscriptionSources() []collector.Source {
	var all []collector.Source
	domain := d.Name()
	ofStreams, ofStore := d.watched(domain)
	for _, name := range slices.Sorted(maps.Keys(d.brokers)) {
		if b, ok := d.brokers[name].(inspectableBroker); ok {
			all = append(all, b.Source(domain, name, ofStreams[name]))
		}
	}
	if store, ok := d.store.(inspectableEventStore); ok {
		all = append(all, store.Source(domain, ofStore))
	}
	return all
}

// watched are the subscriptions that run, to streams of each broker and to the event store. One
// that cannot is for [Domain.Config] to report.
func (d *Domain) watched(domain string) (ofStreams map[string][]collector.Watch, ofStore []collector.Watch) {
	ofStreams = map[string][]collector.Watch{}
	subscriptions, _ := d.Subscriptions()
	for _, s := range subscriptions {
		w := collector.Watch{
			Domain: domain, Handler: subscription.ShortName(s.Handler), Group: s.Group, Stream: s.Stream, Type: s.Type,
		}
		if s.Type == string(config.TypeEventStore) {
			w.Subscriber = s.Handler
			ofStore = append(ofStore, w)
		} else {
			ofStreams[s.Broker] = append(ofStreams[s.Broker], w)
		}
	}
	return ofStreams, ofStore
}
