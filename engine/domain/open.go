package domain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
)

// BrokerSpec is what an adapter needs to open a broker.
type BrokerSpec struct {
	config.Broker
	// Logger is where the adapter logs: never nil.
	Logger *slog.Logger
}

// DatabaseSpec is what an adapter needs to open a database.
type DatabaseSpec struct {
	config.Database
	// Logger is where the adapter logs: never nil.
	Logger *slog.Logger
}

// EventStoreSpec is what an adapter needs to open the event store.
type EventStoreSpec struct {
	config.EventStore
	// Logger is where the adapter logs: never nil.
	Logger *slog.Logger
}

// HandlerSpec is what is needed to deliver for a handler of the file.
type HandlerSpec struct {
	config.Handler
	// Domain is the domain's name, and SourceURI the file's `source_uri`.
	Domain    string
	SourceURI string
	// Timeout is how long one delivery may take.
	Timeout time.Duration
	// Concurrency is how many deliveries there are side by side.
	Concurrency int
	// LeftOut counts an extension attribute that an event could not have, and
	// logs the first one for each reason: never nil.
	LeftOut func(extension, reason string)
	// Logger is where deliveries are logged: never nil.
	Logger *slog.Logger
}

// Adapters are what a domain may be opened with, by the provider's name in the
// file. A program links the adapters that it names here; the package adapters
// names all of them.
type Adapters struct {
	// Brokers open a broker; they must not need the server to be up.
	Brokers map[string]func(BrokerSpec) (engine.Broker, error)
	// Databases open a database; they must not need the server to be up.
	Databases map[string]func(context.Context, DatabaseSpec) (engine.Database, error)
	// EventStores open the event store; it must not need a server to be up. The
	// package adapters has none for `memory`: what such a store holds the program
	// itself appends, so that it opens the store and passes it.
	EventStores map[string]func(EventStoreSpec) (engine.EventStore, error)
	// Deliver makes the function of a handler of the file, and what releases it
	// (nil for nothing). Nil where the program has no use for such handlers.
	Deliver func(HandlerSpec) (fn handler.Func, release func() error, err error)
}

// rollBackTimeout bounds the closing of what was just opened, and never used.
const rollBackTimeout = 5 * time.Second

// OpenOption changes how a domain is opened.
type OpenOption func(*Domain)

// WithLogger sets where the domain and its adapters log; default
// slog.Default().
func WithLogger(l *slog.Logger) OpenOption { return func(d *Domain) { d.log = l } }

// Open opens the brokers and databases of a configuration that there are
// adapters for, and registers the handlers of the file. No server needs to be
// up. What has no adapter stays closed, see [Domain.Warnings]: a handler that
// needs it fails in [Domain.Config]. When Open fails, what it had opened is
// closed again.
//
// The caller closes the domain: see [Domain.Close].
func Open(ctx context.Context, c *config.Config, a Adapters, options ...OpenOption) (*Domain, error) {
	d := &Domain{config: c, log: slog.Default()}
	for _, o := range options {
		o(d)
	}
	// Databases come first: closing goes backwards, and ends with them.
	var databases, brokers error
	d.databases, databases = openServers(d, server{"database", "databases", "database_uri"}, c.Databases, func(s config.Database) func() (engine.Database, error) {
		open, ok := a.Databases[s.Provider]
		if !ok {
			return nil
		}
		return func() (engine.Database, error) { return open(ctx, DatabaseSpec{Database: s, Logger: d.log}) }
	})
	d.brokers, brokers = openServers(d, server{"broker", "brokers", "URI"}, c.Brokers, func(s config.Broker) func() (engine.Broker, error) {
		open, ok := a.Brokers[s.Provider]
		if !ok {
			return nil
		}
		return func() (engine.Broker, error) { return open(BrokerSpec{Broker: s, Logger: d.log}) }
	})
	var store error
	if open, ok := a.EventStores[c.EventStore.Provider]; ok {
		if d.store, store = open(EventStoreSpec{EventStore: c.EventStore, Logger: d.log}); store == nil {
			d.closers.Add("event store", d.store.Close)
		} else {
			store = fmt.Errorf("%s: [event_store]: open event store: %w", c.Path, store)
		}
	}
	err := errors.Join(databases, brokers, store)
	if err == nil {
		err = d.registerFile(a)
	}
	if err != nil {
		// Also where it failed because ctx ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollBackTimeout)
		defer cancel()
		return nil, errors.Join(err, d.Close(ctx))
	}
	ofFile, _ := d.Subscriptions() // what is wrong with them is for Config to say
	d.warnings = slices.Concat(d.inMemory(), d.withoutAdapter(), differentRetentions(ofFile), differentPolicies(d.config.DeadLetters, ofFile))
	for _, w := range d.warnings {
		d.logWarning(w)
	}
	return d, nil
}

func (d *Domain) logWarning(w config.Warning) {
	d.log.Warn("configuration", "component", "domain", "warning", w.String())
}

// server is what one of a family is called, the table of all of them, and the key of
// its URL.
type server struct{ name, table, key string }

// openServers opens the servers of one family that there are adapters for, in
// the order of their names. The adapter of a server is nil where there is none.
func openServers[Spec any, Server interface{ Close(context.Context) error }](
	d *Domain, family server, specs map[string]Spec, adapter func(Spec) func() (Server, error),
) (map[string]Server, error) {
	opened := map[string]Server{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		open := adapter(specs[name])
		if open == nil {
			continue
		}
		server, err := open()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: [%s] %s: open %s %s: %w", d.config.Path, config.Section(family.table, name), family.key, family.name, name, err))
			continue
		}
		opened[name] = server
		d.closers.Add(family.name+" "+name, server.Close)
	}
	return opened, errors.Join(errs...)
}

// registerFile registers the handlers of the file.
func (d *Domain) registerFile(a Adapters) error {
	if len(d.config.Handlers) > 0 && a.Deliver == nil {
		return fmt.Errorf("%s: [observatory.handlers] names handlers, and this program delivers for none: set Adapters.Deliver", d.config.Path)
	}
	name := d.Name()
	var registrations []handler.Registration
	var errs []error
	for _, h := range d.config.Handlers {
		plain := registration(h, nil)
		resolved, err := d.config.Resolve(plain)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		settings := resolved.Config()
		fn, release, err := a.Deliver(HandlerSpec{
			Handler: h, Domain: name, SourceURI: d.config.SourceURI,
			Timeout: settings.HandlerTimeout, Concurrency: settings.Concurrency,
			LeftOut: d.countLeftOut(name, plain).add, Logger: d.log,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: [observatory.handlers.%s] deliver: %w", d.config.Path, h.Name, err))
			continue
		}
		if release != nil {
			d.closers.Add("handler "+h.Name, func(context.Context) error { return release() })
		}
		registrations = append(registrations, registration(h, fn))
	}
	return errors.Join(append(errs, d.Register(registrations...))...)
}

// registration is a handler of the file as a program would register it, around
// fn.
func registration(h config.Handler, fn handler.Func) handler.Registration {
	routes := []handler.Route{handler.Any(fn)}
	if len(h.Types) > 0 {
		routes = nil
	}
	for _, t := range h.Types {
		routes = append(routes, handler.Route{Type: t, Func: fn})
	}
	r := handler.Events(h.Name, h.Stream, routes...)
	r.Format = h.Format
	return r.With(handler.Options{Group: h.Group, Broker: h.Broker})
}

// inMemory warns of handlers of the file whose broker is in memory: no other
// program publishes there.
func (d *Domain) inMemory() []config.Warning {
	if d.config.Brokers[streamBroker].Provider != inline {
		return nil
	}
	var handlers, others []string
	for _, h := range d.config.Handlers {
		if h.Type == config.TypeStream && cmp.Or(h.Broker, streamBroker) == streamBroker {
			handlers = append(handlers, h.Name)
		}
	}
	if len(handlers) == 0 {
		return nil
	}
	for name, other := range d.config.Brokers {
		if other.Provider != inline {
			others = append(others, "["+config.Section("brokers", name)+"]")
		}
	}
	text := fmt.Sprintf(`%q is in the memory of this process: nothing that other programs publish reaches handler %s; expected provider = "redis" and a URI`,
		inline, strings.Join(handlers, ", "))
	if slices.Sort(others); len(others) > 0 {
		text += "; or name the broker that each of them reads (broker = …): " + strings.Join(others, ", ")
	}
	return []config.Warning{{Code: config.CodeInMemory, Section: config.Section("brokers", streamBroker), Key: "provider", Text: text}}
}

// withoutAdapter warns of what the file names and this program has no adapter
// for. Only here is that known: a file is read without knowing the adapters.
func (d *Domain) withoutAdapter() []config.Warning {
	var all []config.Warning
	missing := func(section, provider string) {
		if provider != memory {
			all = append(all, config.Warning{
				Code: config.CodeNotBuilt, Section: section, Key: "provider",
				Text: fmt.Sprintf("no adapter for %q: it is not opened, and left out of readiness", provider),
			})
		}
	}
	for name, spec := range d.config.Databases {
		if d.databases[name] == nil {
			missing(config.Section("databases", name), spec.Provider)
		}
	}
	for name, spec := range d.config.Brokers {
		if d.brokers[name] == nil {
			missing(config.Section("brokers", name), spec.Provider)
		}
	}
	for name, provider := range d.config.Caches {
		missing(config.Section("caches", name), provider)
	}
	if d.store == nil {
		missing("event_store", d.config.EventStore.Provider)
	}
	slices.SortFunc(all, func(a, b config.Warning) int { return cmp.Compare(a.Section, b.Section) })
	return all
}
