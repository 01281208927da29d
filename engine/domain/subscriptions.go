package domain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// streamBroker is the broker whose streams handlers read that name none, and inline
// the provider of one that is in memory.
const (
	streamBroker = "default"
	inline       = "inline"
)

// storedCommands ends the group of the second subscription of commands, to those
// that are in the event store: the labels of the two differ by it.
const storedCommands = ":event_store"

// keepsCommands reports whether other programs may have commands in the event
// store: Python publishes them nowhere else.
func (d *Domain) keepsCommands() bool {
	return d.store != nil && d.config.EventStore.Provider != memory
}

// Subscription is one handler on one stream, with its settings.
type Subscription struct {
	// Handler is the full name that it runs under: for commands, that of their
	// dispatcher.
	Handler string
	// Group is the consumer group.
	Group string
	// Stream is the stream of a broker, or the category of the event store.
	Stream string
	// Broker is the name of the broker; "" where the event store is read.
	Broker string
	// Type is the label `type`: stream, event_store or broker, which is a stream
	// that other programs write.
	Type string
	// BackfillOf is the stream whose backfill lane Stream is; "" where it is none.
	BackfillOf string
	// Settings are those that have an effect, in the order of docs/configuration.md,
	// each with the place that decided it.
	Settings []config.Setting

	registration handler.Registration
	resolved     config.Resolved
}

// Subscriptions returns a subscription for each handler and stream, one for all
// commands of a category, in the order of registration. Commands that are read from
// a stream are read from the event store too, where that is a server: Python
// publishes its own there alone. Those that can run are
// returned also with an error, which has every handler whose settings cannot
// work, or that needs what is not open. No server is contacted.
func (d *Domain) Subscriptions() ([]Subscription, error) {
	var all []Subscription
	var errs []error
	for _, r := range d.runnable() {
		resolved, err := d.config.Resolve(r)
		if err == nil {
			err = d.runs(r, resolved.Type)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		kind := string(resolved.Type)
		if r.Kind == handler.KindSubscriber {
			kind = "broker"
		}
		broker := brokerOf(r)
		if resolved.Type == config.TypeEventStore {
			broker = ""
		}
		streams := streamsOf(r)
		for _, stream := range streams {
			s := Subscription{
				Handler: runningName(r), Group: groupOf(r), Stream: stream, Broker: broker, Type: kind,
				Settings: resolved.Settings, registration: r, resolved: resolved,
			}
			all = append(all, s)
			if lane := d.backfillLane(s); lane != "" && !slices.Contains(streams, lane) {
				s.Stream, s.BackfillOf = lane, stream
				all = append(all, s)
			}
		}
		if r.Kind == handler.KindCommand && resolved.Type == config.TypeStream && d.keepsCommands() {
			all = append(all, Subscription{
				Handler: runningName(r), Group: groupOf(r) + storedCommands, Stream: streamsOf(r)[0], Type: string(config.TypeEventStore),
				Settings: resolved.Settings, registration: r, resolved: resolved,
			})
		}
	}
	return all, errors.Join(errs...)
}

// backfillLane is the stream that is read behind the subscription's own; "" where
// there is none: other programs publish to none, and an event store has none.
func (d *Domain) backfillLane(s Subscription) string {
	suffix := ":" + d.config.BackfillSuffix
	if suffix == ":" || s.Type != string(config.TypeStream) || s.registration.Format != handler.FormatEnvelope ||
		strings.HasSuffix(s.Stream, suffix) { // it is a lane
		return ""
	}
	return s.Stream + suffix
}

// runs says why a handler cannot run as a type of subscription; nil if it can.
func (d *Domain) runs(r handler.Registration, as config.Type) error {
	switch as {
	case config.TypeEventStore:
		if r.Broker != "" {
			return fmt.Errorf("%s: handler %s reads the event store, and no broker: expected none, got %q", d.config.Path, r.Name, r.Broker)
		}
		if d.store == nil {
			return fmt.Errorf(`%s: handler %s would read the event store, whose provider %q this program has no adapter for: set [server] default_subscription_type = "stream", or [%s] subscription_type = "stream"; a program that has a store in memory passes it in Adapters.EventStores`,
				d.config.Path, r.Name, d.config.EventStore.Provider, config.Section("server.subscriptions", subscription.ShortName(runningName(r))))
		}
		for _, category := range streamsOf(r) {
			if err := config.CheckCategory(category); err != nil {
				return fmt.Errorf("%s: handler %s cannot read %q from the event store: %w", d.config.Path, r.Name, category, err)
			}
		}
		return nil
	default:
		name := brokerOf(r)
		spec, exists := d.config.Brokers[name]
		if !exists {
			return fmt.Errorf("%s: handler %s reads the broker %q, which the file does not have: expected one of %s",
				d.config.Path, r.Name, name, strings.Join(slices.Sorted(maps.Keys(d.config.Brokers)), ", "))
		}
		if d.brokers[name] == nil {
			return fmt.Errorf("%s: handler %s reads the broker %q, whose provider %q this program has no adapter for: set [%s] provider to one that it has",
				d.config.Path, r.Name, name, spec.Provider, config.Section("brokers", name))
		}
		return nil
	}
}

// Config returns what an engine runs: the domain's subscriptions, and where its
// health is asked for. The error is that of [Domain.Subscriptions].
func (d *Domain) Config() (engine.Config, error) {
	name := d.Name()
	c := engine.Config{
		Domain: name, ShutdownTimeout: d.config.Observatory.ShutdownTimeout, Logger: d.log,
		MaxInflightBytes: d.config.Observatory.MaxInflightBytes,
		Health: engine.HealthConfig{
			Disabled: !d.config.Health.Enabled,
			Address:  net.JoinHostPort(d.config.Health.Host, strconv.Itoa(d.config.Health.Port)),
			Token:    d.config.Observatory.Token,
			Checks:   d.Checks(),
		},
	}
	d.warnSections()
	subscriptions, err := d.Subscriptions()
	for _, w := range slices.Concat(differentRetentions(subscriptions), differentPolicies(d.config.DeadLetters, subscriptions)) {
		if !slices.Contains(d.warnings, w) {
			d.logWarning(w)
		}
	}
	streams := make(map[string]subscription.Opener, len(d.brokers))
	for name, b := range d.brokers {
		streams[name] = consumergroup.Over(b)
	}
	c.DeadLetters = d.maintenance(subscriptions)
	for _, s := range subscriptions {
		r := s.registration
		kind := r.Kind
		if kind == handler.KindEvent && strings.HasSuffix(r.Streams[0], message.CommandSuffix) {
			kind = handler.KindCommand // a handler of the file on a stream of commands: no other handles what it does not
		}
		settings := s.resolved.Config()
		settings.Domain, settings.Handler, settings.Group, settings.Stream, settings.Format = name, s.Handler, s.Group, s.Stream, r.Format
		settings.SkipChecksums = !d.config.Observatory.VerifyChecksums
		run := engine.Subscription{Config: settings, Func: handler.Dispatch(kind, r.Routes), BackfillOf: s.BackfillOf}
		if s.Type == string(config.TypeEventStore) {
			run.DeadLetters = true // what is given up stays in the store, recorded as exhausted
			run.Source = catchup.Over(d.store)
		} else {
			run.Source = streams[s.Broker]
		}
		run.Pauses = d.Pauses(s)
		c.Subscriptions = append(c.Subscriptions, run)
	}
	return c, err
}

// Pauses returns where it is kept whether a subscription is paused: its broker, or the
// event store; nil where that keeps none.
func (d *Domain) Pauses(s Subscription) subscription.Pauses {
	if s.Type == string(config.TypeEventStore) {
		pauses, _ := d.store.(subscription.Pauses)
		return pauses
	}
	pauses, _ := d.brokers[s.Broker].(subscription.Pauses)
	return pauses
}

// runnable are the registrations as they run: the command handlers of a
// category as one, where the first of them stood.
func (d *Domain) runnable() []handler.Registration {
	var all []handler.Registration
	dispatchers := map[string]int{} // by category
	for _, r := range d.handlers {
		if r.Kind != handler.KindCommand {
			all = append(all, r)
			continue
		}
		category := r.Streams[0]
		i, has := dispatchers[category]
		if !has {
			dispatchers[category] = len(all)
			all = append(all, r)
			continue
		}
		all[i].Routes = slices.Concat(all[i].Routes, r.Routes)
	}
	return all
}

// differentRetentions warns of subscriptions to one stream that trim it to different
// lengths. The largest holds.
func differentRetentions(subscriptions []Subscription) []config.Warning {
	largest := map[string]Subscription{} // by stream
	for _, s := range subscriptions {
		if s.retention() > largest[s.Stream].retention() {
			largest[s.Stream] = s
		}
	}
	var all []config.Warning
	for _, s := range subscriptions {
		own, other := s.retention(), largest[s.Stream]
		if own == 0 || own == other.retention() {
			continue
		}
		i := slices.IndexFunc(s.Settings, func(set config.Setting) bool { return set.Key == "retention_maxlen" })
		all = append(all, config.Warning{
			Code: config.CodeNoEffect, Section: strings.Trim(s.Settings[i].Origin, "[]"), Key: "retention_maxlen",
			Text: fmt.Sprintf("%d of handler %s is not used: handler %s keeps %d entries of the same stream %q",
				own, s.Handler, other.Handler, other.retention(), s.Stream),
		})
	}
	return all
}

// retention is how many entries the subscription trims its stream to; 0 for all.
func (s Subscription) retention() int {
	if s.Type == string(config.TypeEventStore) {
		return 0
	}
	return s.resolved.Config().RetentionMaxLen
}

// warnSections logs the sections of command handlers that have no effect, since
// their dispatcher has its settings from elsewhere.
func (d *Domain) warnSections() {
	first := map[string]bool{} // categories of which a handler came
	for _, r := range d.handlers {
		if r.Kind != handler.KindCommand {
			continue
		}
		category, short := r.Streams[0], subscription.ShortName(r.Name)
		if first[category] && d.config.HasSubscription(short) {
			d.log.Warn("section has no effect: another command handler of the category comes first", "component", "domain",
				"section", config.Section("server.subscriptions", short), "use", config.Section("server.subscriptions", subscription.ShortName(runningName(r))))
		}
		first[category] = true
	}
}

// brokerOf is the name of the broker that a handler reads.
func brokerOf(r handler.Registration) string { return cmp.Or(r.Broker, streamBroker) }

// runningName is the name that a handler runs under.
func runningName(r handler.Registration) string {
	if r.Kind == handler.KindCommand {
		return config.DispatcherName(r.Streams[0])
	}
	return r.Name
}
