package domain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/handler"
)

// Adapters are what a domain may be opened with, by the provider's name in the
// file. A program links the adapters that it names here; the package adapters
// names all of them.
type Adapters struct {
	// Brokers open a broker; they must not need the server to be up.
	Brokers map[string]func(BrokerSpec) (engine.Broker, error)
	// Databases open a database; they must not need the server to be up.
	Databases map[string]func(context.Context, DatabaseSpec) (engine.Database, error)
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
// needs it fails in [Domain.Config]. When Open fails, whatever it had opened is closed again.
//
// Whoever opens a domain closes it: see [Domain.Close].
func Open(ctx context.Context, c *Config, a Adapters, options ...OpenOption) (*Domain, error) {
	d := &Domain{
		config: c, log: slog.Default(),
		brokers: map[string]engine.Broker{}, databases: map[string]engine.Database{},
	}
	for _, o := range options {
		o(d)
	}
	err := errors.Join(d.openDatabases(ctx, a), d.openBrokers(a))
	if err == nil {
		err = d.registerFile(a)
	}
	if err != nil {
		return nil, errors.Join(err, d.rollBack(ctx))
	}
	d.warnings = d.unopened()
	for _, w := range d.warnings {
		d.log.Warn("configuration", "component", "domain", "warning", w.String())
	}
	return d, nil
}

// rollBack closes what an Open that failed had opened, also where it failed
// because its context ended.
func (d *Domain) rollBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollBackTimeout)
	defer cancel()
	return d.Close(ctx)
}

// openDatabases comes first, so that Close, which goes backwards, ends with
// them.
func (d *Domain) openDatabases(ctx context.Context, a Adapters) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.config.Databases)) {
		spec := d.config.Databases[name]
		open, ok := a.Databases[spec.Provider]
		if !ok {
			continue
		}
		spec.Logger = d.log
		db, err := open(ctx, spec)
		if err != nil {
			errs = append(errs, fmt.Errorf("open database %s: %w", name, err))
			continue
		}
		d.databases[name] = db
		d.closers.Add("database "+name, db.Close)
	}
	return errors.Join(errs...)
}

func (d *Domain) openBrokers(a Adapters) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.config.Brokers)) {
		spec := d.config.Brokers[name]
		open, ok := a.Brokers[spec.Provider]
		if !ok {
			continue
		}
		spec.Logger = d.log
		b, err := open(spec)
		if err != nil {
			errs = append(errs, fmt.Errorf("open broker %s: %w", name, err))
			continue
		}
		d.brokers[name] = b
		d.closers.Add("broker "+name, b.Close)
	}
	return errors.Join(errs...)
}

// registerFile registers the handlers of the file.
func (d *Domain) registerFile(a Adapters) error {
	if len(d.config.Handlers) > 0 && a.Deliver == nil {
		return fmt.Errorf("%s: [observatory.handlers] names handlers, and this program delivers for none: set Adapters.Deliver", d.config.Path)
	}
	var errs []error
	for _, spec := range d.config.Handlers {
		errs = append(errs, d.registerDelivery(spec, a))
	}
	return errors.Join(errs...)
}

func (d *Domain) registerDelivery(spec HandlerSpec, a Adapters) error {
	set, err := d.config.Resolve(spec.registration(nil))
	if err != nil {
		return err
	}
	spec.Domain, spec.SourceURI = d.Name(), d.config.SourceURI
	spec.Timeout, spec.Concurrency, spec.Logger = *set.HandlerTimeout, *set.Concurrency, d.log
	fn, release, err := a.Deliver(spec)
	if err != nil {
		return fmt.Errorf("%s: [observatory.handlers.%s] deliver: %w", d.config.Path, spec.Name, err)
	}
	if release != nil {
		d.closers.Add("handler "+spec.Name, func(context.Context) error { return release() })
	}
	return d.Register(spec.registration(fn))
}
