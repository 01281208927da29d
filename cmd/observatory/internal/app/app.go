package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/lifecycle"
	"github.com/observatory-go/observatory/gauges"
)

// closeTimeout bounds what is closed after the engine has stopped.
const closeTimeout = 5 * time.Second

// App is one observatory process: engine, probes and /metrics.
type App struct {
	options   Options
	config    chosen
	log       *slog.Logger
	domain    *domain.Domain
	telemetry *gauges.Telemetry
	snapshots *gauges.Lazy
	engine    *engine.Engine
	run       engine.Config
	traffic   func(context.Context) error // of the sample; nil without
	closers   lifecycle.Closers
}

// New reads the configuration and builds everything; no server is contacted
// and no port is taken before Run. What it opened is closed again when it
// fails.
func New(ctx context.Context, o Options) (*App, error) {
	config, err := choose(o)
	if err != nil {
		return nil, err
	}
	a := &App{options: o, config: config, log: newLogger(o, config.Logging)}
	if err := a.assemble(ctx); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// Logger is where the app logs.
func (a *App) Logger() *slog.Logger { return a.log }

// assemble builds the parts; each step registers what closes it.
func (a *App) assemble(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		a.openDomain, a.openTelemetry, a.buildEngine,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) openDomain(ctx context.Context) error {
	with := adapters.All()
	if a.config.sample {
		memory := memorybroker.New(memorybroker.WithMaxLen(sampleMaxLen))
		with.Brokers["inline"] = func(domain.BrokerSpec) (engine.Broker, error) { return memory, nil }
		a.traffic = func(ctx context.Context) error { return sampleTraffic(ctx, memory) }
	}
	d, err := domain.Open(ctx, a.config.Config, with, domain.WithLogger(a.log))
	if err != nil {
		return err
	}
	a.domain = d
	a.closers.Add("domain", d.Close)
	if a.config.sample {
		return d.Register(sampleHandlers()...)
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
	})
	if err != nil {
		return err
	}
	a.telemetry = telemetry
	a.closers.Add("telemetry", telemetry.Shutdown)
	return exposeBuild(telemetry.MeterProvider())
}

func (a *App) buildEngine(context.Context) error {
	config, err := a.domain.Config()
	if err != nil {
		return err
	}
	config.MeterProvider = a.telemetry.MeterProvider()
	config.Logger = a.log
	if a.options.HealthAddress != "" {
		config.Health.Address = a.options.HealthAddress
	}
	a.run = config
	a.engine, err = engine.New(config)
	return err
}

// Run takes the ports, tells where things are, and runs until ctx ends or a
// part fails. /metrics answers until all else has ended. It may be called
// once; it closes what New opened.
func (a *App) Run(ctx context.Context) error {
	page, err := a.listen()
	if err != nil {
		return errors.Join(err, a.close())
	}
	a.greet(page.addr)
	err = errors.Join(a.work(ctx), page.close())
	return errors.Join(err, a.close())
}

// work runs the engine and the sample's traffic. /metrics is served meanwhile
// by a goroutine of its own, which page.close waits for.
func (a *App) work(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group := lifecycle.Group{OnFailure: cancel}
	group.Go(ctx, "engine", a.runEngine)
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

func (a *App) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return a.closers.Close(ctx)
}

// greet tells in a few lines what was taken, what runs where, and what to try.
func (a *App) greet(metrics string) {
	w := a.options.Stderr
	b := Build()
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-14s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "observatory %s\n", b.Version)
	line("configuration", "%s (%s)", a.config.Path, a.config.origin)
	a.greetHandlers(line)
	url := a.url(metrics)
	line("metrics", "%s", url)
	if !a.run.Health.Disabled {
		line("health", "http://%s/readyz", local(a.run.Health.Address))
	}
	line("try", "curl -s %s | grep protean_subscription", url)
	if a.config.sample {
		line("then", "write a domain.toml (README, \"A first real configuration\") and run observatory serve")
	}
	for _, warning := range a.config.Warnings {
		a.log.Warn("Configuration", "warning", warning.String())
	}
	_, _ = io.WriteString(w, "\n")
}

func (a *App) greetHandlers(line func(label, format string, args ...any)) {
	if len(a.run.Subscriptions) == 0 {
		line("handlers", "none: nothing is consumed; add [observatory.handlers.<name>] to the file")
	}
	label := "handlers"
	for _, s := range a.run.Subscriptions {
		line(label, "%s <- %s", s.Handler, s.Stream)
		label = ""
	}
}
