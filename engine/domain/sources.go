package domain

import (
	"maps"
	"slices"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/subscription"
)

// watchable is what a broker offers that a collector can look at.
type watchable interface {
	Source(domain, name string, watched []collector.Watch) collector.Source
}

// lookable is what a database offers that a collector can look at.
type lookable interface {
	Source(domain, name string) collector.Source
}

// Sources are what a collector looks at: the open brokers, with the
// subscriptions of the handlers registered, and the open databases. They are
// usable until the domain is closed.
func (d *Domain) Sources() []collector.Source {
	var all []collector.Source
	watched := map[string][]collector.Watch{streamBroker: d.watched()}
	for _, name := range slices.Sorted(maps.Keys(d.brokers)) {
		if b, ok := d.brokers[name].(watchable); ok {
			all = append(all, b.Source(d.Name(), name, watched[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.databases)) {
		if db, ok := d.databases[name].(lookable); ok {
			all = append(all, db.Source(d.Name(), name))
		}
	}
	return all
}

// watched are the subscriptions that run. One that cannot is for [Domain.Config]
// to report.
func (d *Domain) watched() []collector.Watch {
	var all []collector.Watch
	for _, r := range d.runnable() {
		subs, err := d.subscriptions(r)
		if err != nil {
			continue
		}
		for _, s := range subs {
			all = append(all, collector.Watch{
				Domain: s.Domain, Handler: subscription.ShortName(s.Handler),
				Group: s.Group, Stream: s.Stream, Type: watchType(r),
			})
		}
	}
	return all
}

// watchType is the label `type`: what other programs write is the broker's.
func watchType(r handler.Registration) string {
	if r.Kind == handler.KindSubscriber {
		return "broker"
	}
	return string(subscription.TypeStream)
}
