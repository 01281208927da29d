package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/lifecycle"
	"github.com/observatory-go/observatory/gauges"
)

// closeTimeout bounds all that is closed after the engine has stopped;
// lastScrapesTimeout and lastPushTimeout are the parts of it for the scrapes that
// are under way and for the last push.
const (
	closeTimeout       = 5 * time.Second
	lastScrapesTimeout = 2 * time.Second
	lastPushTimeout    = 2 * time.Second
)

// App is one observatory process: engine, probes and /metrics.
type App struct {
	options   Options
	config    Configuration
	log       *slog.Logger
	domain    *domain.Domain
	telemetry *gauges.Telemetry
	snapshots *gauges.Lazy
	engine    *engine.Engine
	run       engine.Config
	metrics   string                      // the address that /metrics is served on
	traffic   func(context.Context) error // of the sample; nil without
	ran       atomic.Bool
	closers   lifecycle.Closers
}

// New reads the configuration and builds everything; no server is contacted
// and no port is taken before Run. What it opened is closed again when it
// fails.
func New(ctx context.Context, o Options) (*App, error) {
	config, err := LoadConfiguration(o)
	if err != nil {
		return nil, err
	}
	a := &App{options: o, config: config, log: newLogger(o, config.Logging)}
	if libraries.Load() != nil {
		libraries.Store(a.log)
	}
	a.printConfiguration()
	for _, build := range []func(context.Context) error{a.openDomain, a.buildEngine, a.openTelemetry} {
		if err := build(ctx); err != nil {
			return nil, errors.Join(err, a.rollBack())
		}
	}
	return a, nil
}

// Logger is where the app logs.
func (a *App) Logger() *slog.Logger { return a.log }

func (a *App) openDomain(ctx context.Context) error {
	d, err := a.config.Open(ctx, a.log)
	if err != nil {
		return err
	}
	a.domain = d
	a.closers.Add("domain", d.Close)
	if memory, ok := d.Broker("default").(*memorybroker.Broker); ok && a.config.Sample {
		a.traffic = func(ctx context.Context) error { return sampleTraffic(ctx, memory) }
	}
	return nil
}

func (a *App) openTelemetry(ctx context.Context) error {
	a.snapshots = gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		return collector.New(collector.Config{Sources: a.domain.Sources(), Logger: a.log}), nil
	}, a.log)
	a.closers.Add("collector", a.snapshots.Close)
	t := a.config.Telemetry
	name := t.ServiceName
	if name == "" {
		name = a.domain.Name()
	}
	telemetry, err := gauges.NewTelemetry(ctx, gauges.TelemetryConfig{
		Off: !a.config.Observatory.Metrics, ServiceName: name, ResourceAttributes: t.ResourceAttributes,
		Push: t.Enabled && t.Exporter == "otlp", Endpoint: t.Endpoint, Snapshots: a.snapshots, Logger: a.log,
		Producers: []sdkmetric.Producer{a.engine.Producer()},
	})
	if err != nil {
		return err
	}
	a.telemetry = telemetry
	a.closers.Add("telemetry", a.shutdownTelemetry)
	if a.config.Observatory.Metrics { // go_* and process_*
		telemetry.Registry().MustRegister(collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return errors.Join(exposeBuild(telemetry.MeterProvider()), a.domain.Instrument(telemetry.MeterProvider()))
}

// shutdownTelemetry pushes a last time. A receiver that does not answer is
// logged and is no error; it must not use up the time that other parts have to
// close.
func (a *App) shutdownTelemetry(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastPushTimeout)
	defer cancel()
	if err := a.telemetry.Shutdown(ctx); err != nil {
		a.log.Warn("the last figures could not be pushed", "error", err)
	}
	return nil
}

func (a *App) buildEngine(context.Context) error {
	config, err := a.domain.Config()
	if err != nil {
		return err
	}
	if !a.config.Observatory.Metrics {
		config.MeterProvider = noop.NewMeterProvider()
	}
	config.Logger = a.log
	if a.options.HealthAddress != "" {
		config.Health.Address = a.options.HealthAddress
	}
	config.Health.Listening = func(address net.Addr) { a.printAddresses(address.String()) }
	a.run = config
	a.engine, err = engine.New(config)
	return err
}

// Run listens, prints the addresses once both ports are taken, and runs until ctx ends or a part fails.
// /metrics answers until the engine has ended. It may be called once; it closes
// what New opened. A second call returns [engine.ErrRunning].
func (a *App) Run(ctx context.Context) error {
	if !a.ran.CompareAndSwap(false, true) {
		return engine.ErrRunning
	}
	server, err := a.listen()
	if err != nil {
		return errors.Join(err, a.rollBack())
	}
	a.metrics = server.listener.Addr().String()
	if a.run.Health.Disabled {
		a.printAddresses("")
	}
	server.serve()
	err = a.work(ctx, server)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, server.close(closing), a.closers.Close(closing))
}

// work runs the engine and the sample's traffic, as long as /metrics is served.
func (a *App) work(ctx context.Context, server *metricsServer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group := lifecycle.Group{OnFailure: cancel}
	group.Go(ctx, "engine", a.runEngine)
	group.Go(ctx, "metrics", server.watch)
	if a.traffic != nil {
		group.Go(ctx, "sample traffic", a.traffic)
	}
	return group.Wait()
}

func (a *App) runEngine(ctx context.Context) error {
	err := a.engine.Run(ctx)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w, or start with --health.listen-address", err)
	}
	return err
}

// rollBack closes what was opened for an app that does not run.
func (a *App) rollBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return a.closers.Close(ctx)
}

// printConfiguration prints, before anything is opened, which configuration was
// taken: the one found in a parent folder may be that of a production system.
func (a *App) printConfiguration() {
	fmt.Fprintf(a.options.Stderr, "observatory %s\n", Build().Version)
	others := ""
	if a.config.Found {
		others = "; --config names another, --embedded takes none"
	}
	a.printLine("configuration", "%s (%s%s)", a.config.Path, a.config.Origin, others)
	if !a.config.Sample {
		a.printLine("environment", "%s", EnvironmentText(a.config.Environment, a.config.Overlaid))
	}
	for _, warning := range a.config.Warnings {
		a.log.Warn("configuration", "warning", warning.String())
	}
}

// printAddresses prints in a few lines what runs, where it is reached, and what
// to try. The address of the probes is "" where there are none.
func (a *App) printAddresses(health string) {
	label := "brokers"
	for _, name := range slices.Sorted(maps.Keys(a.config.Brokers)) {
		b := a.config.Brokers[name]
		where := b.URIName
		if b.Provider == inMemory {
			where = "in the memory of this process"
		}
		a.printLine(label, "%s: %s, %s", name, b.Provider, where)
		label = ""
	}
	if store := a.config.EventStore; store.URIName != "" {
		a.printLine("event store", "%s, %s", store.Provider, store.URIName)
	}
	if len(a.run.Subscriptions) == 0 {
		a.printLine("handlers", "none: nothing is consumed; add [observatory.handlers.<name>] to the file")
	}
	targets := map[string]string{}
	for _, h := range a.config.Handlers {
		targets[h.Name] = " -> " + h.TargetName
	}
	label = "handlers"
	for _, s := range a.run.Subscriptions {
		a.printLine(label, "%s <- %s%s", s.Handler, s.Stream, targets[s.Handler])
		label = ""
	}
	a.printLine("metrics", "%s%s", a.url(a.metrics), exposure(a.metrics))
	if health != "" {
		a.printLine("health", "http://%s/readyz%s", health, exposure(health))
	}
	a.printLine("try", "curl -s %s | grep -E '%s'", a.url(local(a.metrics)), figuresToTry)
	if a.config.Sample {
		a.printLine("then", "write a domain.toml (README, \"A first real configuration\") and run observatory serve")
	}
}

// figuresToTry are a few lines of what /metrics has.
const figuresToTry = "^protean_subscription_(messages_processed_total|consumer_lag|dlq_depth|lag_seconds)"

// EnvironmentText says for people which environment was taken.
func EnvironmentText(environment string, overlaid bool) string {
	switch {
	case environment == "":
		return "none (PROTEAN_ENV is not set)"
	case overlaid:
		return fmt.Sprintf("%s (PROTEAN_ENV; its table in the file was laid over the rest)", environment)
	}
	return fmt.Sprintf("%s (PROTEAN_ENV; the file has no table for it)", environment)
}

func (a *App) printLine(label, format string, args ...any) {
	fmt.Fprintf(a.options.Stderr, "  %-14s %s\n", label, fmt.Sprintf(format, args...))
}
