package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// DefaultShutdownTimeout is how long in-flight handlers get by default.
const DefaultShutdownTimeout = 10 * time.Second

// ErrRunning is returned by a second Run of one Engine.
var ErrRunning = errors.New("engine: it runs already, or has run; build a new one")

// Engine runs subscriptions. It opens and closes nothing that it was given.
type Engine struct {
	cfg     Config
	runners []*subscription.Runner
	watches map[subscription.Pauses]*subscription.PauseWatch
	queues  *deadletter.Maintenance
	log     *slog.Logger

	started      time.Time
	ran          atomic.Bool
	shuttingDown atomic.Bool
	draining     atomic.Bool
	pings        chan chan struct{}
	registration metric.Registration
}

// New builds the subscriptions. Nothing is contacted before Run. All that is
// wrong with the configuration is reported at once.
func New(c Config) (*Engine, error) {
	c = c.withDefaults()
	e := &Engine{cfg: c, log: c.Logger.With("component", "engine"), started: time.Now(), pings: make(chan chan struct{}), watches: make(map[subscription.Pauses]*subscription.PauseWatch)}
	env := subscription.Environment{Logger: c.Logger, Budget: subscription.NewBudget(c.MaxInflightBytes)}
	if c.MeterProvider != nil {
		env.Meter = c.MeterProvider.Meter(subscription.Scope)
	}
	var errs []error
	taken := make(map[series]*subscription.Runner)
	for _, sub := range c.Subscriptions {
		key := seriesOf(sub)
		if _, has := taken[key]; has {
			errs = append(errs, fmt.Errorf("handler %q consumes stream %q in group %q twice: set Concurrency for more calls side by side, or another Group",
				key.handler, key.stream, key.group))
			continue
		}
		s, err := subscription.New(sub.Config, sub.Source, sub.Func, env)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		taken[key] = s
		e.runners = append(e.runners, s)
		if sub.Pauses == nil {
			continue
		}
		if e.watches[sub.Pauses] == nil {
			e.watches[sub.Pauses] = subscription.NewPauseWatch(sub.Pauses, c.Logger)
		}
		e.watches[sub.Pauses].Add(s)
	}
	for _, sub := range c.Subscriptions {
		if sub.BackfillOf == "" {
			continue
		}
		backfill, primary := seriesOf(sub), seriesOf(sub)
		primary.stream = sub.BackfillOf
		switch {
		case primary == backfill || taken[primary] == nil:
			errs = append(errs, fmt.Errorf("handler %q on stream %q: BackfillOf names %q, which it does not consume in group %q too",
				backfill.handler, backfill.stream, sub.BackfillOf, backfill.group))
		case taken[backfill] != nil:
			taken[backfill].YieldTo(taken[primary])
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.DeadLetters.Logger = c.Logger
	e.queues = deadletter.NewMaintenance(c.DeadLetters)
	if c.MeterProvider != nil {
		var err error
		if e.registration, err = e.observe(env.Meter); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Drain has the engine take no new messages until it is called with false: readiness
// is then 503 and says so, calls under way go on, and all else that is in hand is given
// back, as at a stop. It returns at once, and is harmless when repeated. It is for the time
// before a stop, so that nothing is handed to an application that ends.
func (e *Engine) Drain(on bool) {
	if e.draining.Swap(on) != on {
		if on {
			e.cfg.Logger.Info("draining: no new messages are taken")
		} else {
			e.cfg.Logger.Info("draining no more: messages are taken again")
		}
	}
	for _, r := range e.runners {
		r.Drain(on)
	}
}

// Draining reports whether the engine drains.
func (e *Engine) Draining() bool { return e.draining.Load() }

// InFlight is how many calls of handlers are under way.
func (e *Engine) InFlight() (calls int) {
	for _, r := range e.runners {
		calls += r.Status().Calls
	}
	return calls
}

// series are the labels that tell a subscription's figures apart.
type series struct{ domain, handler, group, stream string }

func seriesOf(s Subscription) series {
	c := s.WithDefaults()
	return series{c.Domain, subscription.ShortName(c.Handler), c.Group, c.Stream}
}

func (c Config) withDefaults() Config {
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = DefaultShutdownTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxInflightBytes == 0 {
		c.MaxInflightBytes = subscription.DefaultMaxInflightBytes
	}
	if c.Health.Address == "" {
		c.Health.Address = "0.0.0.0:8080"
	}
	return c
}

// Run runs the subscriptions until ctx ends, and then stops them in order:
// readiness turns to 503 at once, reading stops, handlers under way get
// Config.ShutdownTimeout before their contexts end, what was not finished is
// released, and the health server closes last. That takes at most
// Config.ShutdownTimeout and 14 s more where servers hang: one for calls that
// ignore their contexts, the socket's time-out of a command under way, four and a
// half for what is written and released, three for the health server.
//
// It returns what failed: a port that is taken, handlers that did not stop,
// entries that could not be released. It does not catch signals, and it does
// not close brokers: their opener does.
func (e *Engine) Run(ctx context.Context) error {
	if !e.ran.CompareAndSwap(false, true) {
		return ErrRunning
	}
	if e.registration != nil {
		defer func() { _ = e.registration.Unregister() }()
	}
	stopNoting := context.AfterFunc(ctx, func() { e.shuttingDown.Store(true) })
	defer stopNoting()
	defer e.shuttingDown.Store(true)

	probes, err := e.serveHealth()
	if err != nil {
		return err
	}
	var maintenance sync.WaitGroup
	maintenance.Go(func() { e.queues.Run(ctx) })
	errs := []error{e.supervise(ctx)}
	maintenance.Wait()
	if probes != nil {
		errs = append(errs, probes.Close())
	}
	return errors.Join(errs...)
}

// supervise starts the subscriptions and waits for them. Its loop answers the
// liveness pings: where it hangs, so does the engine.
func (e *Engine) supervise(ctx context.Context) error {
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	var watches sync.WaitGroup
	for _, w := range e.watches {
		watches.Go(func() { w.Run(ctx) })
	}
	defer watches.Wait()
	results := e.startAll(ctx, work)
	var errs []error
	var grace <-chan time.Time
	stop := ctx.Done()
	for left := len(e.runners); left > 0 || stop != nil; {
		select {
		case err := <-results:
			left--
			errs = append(errs, err)
		case answer := <-e.pings:
			close(answer)
		case <-stop:
			stop = nil
			e.log.Info("stopping: reading ends now", "handlers_get", e.cfg.ShutdownTimeout.String())
			timer := time.NewTimer(e.cfg.ShutdownTimeout)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			grace = nil
			calls := 0
			for _, r := range e.runners {
				calls += r.Status().Calls
			}
			if calls > 0 {
				e.log.Warn("handlers are still under way; ending their contexts", "calls", calls)
			}
			endWork()
		}
	}
	return errors.Join(errs...)
}

// startAll runs each subscription in a goroutine of its own; each sends one
// result.
func (e *Engine) startAll(ctx, work context.Context) <-chan error {
	results := make(chan error, len(e.runners))
	for _, r := range e.runners {
		go func() { results <- r.Run(ctx, work) }()
	}
	return results
}

// Alive returns nil when the supervising loop answered before ctx ended.
func (e *Engine) Alive(ctx context.Context) error {
	answer := make(chan struct{})
	select {
	case e.pings <- answer:
	case <-ctx.Done():
		return fmt.Errorf("engine does not answer: %w", ctx.Err())
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("engine does not answer: %w", ctx.Err())
	}
}

// Status tells what an engine is doing.
type Status struct {
	ShuttingDown  bool
	Uptime        time.Duration
	Subscriptions []subscription.Status
}

// Status tells what the engine is doing.
func (e *Engine) Status() Status {
	s := Status{ShuttingDown: e.shuttingDown.Load(), Uptime: time.Since(e.started)}
	for _, sub := range e.runners {
		s.Subscriptions = append(s.Subscriptions, sub.Status())
	}
	return s
}
