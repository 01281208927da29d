package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/handler"
)

// closeTimeout bounds the giving back of a stopping subscription; half as long the
// last dead letters may take before it.
const closeTimeout = 3 * time.Second

// Environment is what a subscription shares with the others of its process.
type Environment struct {
	// Meter counts; nil counts in figures of its own, for [Metrics].
	Meter  metric.Meter
	Logger *slog.Logger
	// Budget bounds the bytes in flight; nil is a budget of its own.
	Budget *Budget
}

// Runner runs one handler on one source.
type Runner struct {
	cfg    Config
	from   Opener
	source Source
	drain  drain
	fn     handler.Func
	log    *slog.Logger
	budget *Budget
	share  *share // of a run
	lane   *lane  // nil where it is no backfill lane

	labels   labels
	gauges   []gauge
	meter    metric.Meter // nil where figures are counted
	figures  *figures     // nil where a meter counts
	counting counting
	status   status
}

// New makes a subscription; it contacts no server before Run.
func New(c Config, from Opener, fn handler.Func, env Environment) (*Runner, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if env.Budget == nil {
		env.Budget = NewBudget(0)
	}
	log := env.Logger.With("component", "subscription", "handler", ShortName(c.Handler), "stream", c.Stream, "group", c.Group)
	r := &Runner{
		cfg: c, from: from, source: from.Open(c, log), fn: handler.Chain(fn, handler.Recover), log: log, budget: env.Budget, meter: env.Meter,
	}
	r.status.gateChanged = make(chan struct{}, 1)
	r.labels = labelsOf(c)
	r.gauges = gauges(r.labels, &r.status)
	if env.Meter == nil {
		r.figures = newFigures(c.Concurrency)
		r.counting = r.figures
		return r, nil
	}
	var err error
	if r.counting, err = newInstruments(env.Meter, r.labels); err != nil {
		return nil, fmt.Errorf("subscription %q on %q: %w", c.Handler, c.Stream, err)
	}
	return r, nil
}

// Status tells what the subscription is doing.
func (r *Runner) Status() Status {
	var pause PauseState
	if said := r.status.pause.said.Load(); said != nil {
		pause = *said
	}
	return Status{
		Domain: r.cfg.Domain, Handler: r.cfg.Handler, Group: r.cfg.Group, Stream: r.cfg.Stream,
		Joined: r.status.joined.Load(), Gate: r.status.gate.reasons(), Pause: pause,
		Waiting:            int(r.status.waiting.Load()),
		DeadLettersWaiting: int(r.status.deadLettersWaiting.Load()),
		Calls:              int(r.status.calls.Load()),
		StuckCalls:         int(r.status.stuckCalls.Load()),
	}
}

// StuckError tells of handlers that did not return when their context ended.
type StuckError struct {
	Handler, Stream string
	Entries         []string
}

// Error names the handler and the entries.
func (e *StuckError) Error() string {
	return fmt.Sprintf("handler %q on %q ignored the end of its context; its entries were released: %s",
		e.Handler, e.Stream, strings.Join(e.Entries, ", "))
}

// Run consumes the source until ctx ends. Then it stops reading; handlers under
// way go on until they return or work ends, which ends their contexts. What was
// not finished is given back, so that another process may take it at once. A
// source that cannot be reached is waited for.
//
// It returns a *StuckError for handlers that ignored the end of their context,
// and what went wrong while giving back.
func (r *Runner) Run(ctx, work context.Context) error {
	for r.drain.wait(ctx) {
		serving, stop := context.WithCancel(ctx)
		r.drain.serve(stop)
		err := r.serve(serving, work)
		stop()
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			r.log.ErrorContext(ctx, "drained, and not all of what was in hand could be given back", "error", err)
		}
		r.source = r.from.Open(r.cfg, r.log)
	}
	return nil
}

// serve consumes the source until ctx ends.
func (r *Runner) serve(ctx, work context.Context) error {
	if r.meter != nil {
		observed, err := observe(r.meter, r.gauges)
		if err != nil {
			return fmt.Errorf("subscription %q on %q: %w", r.cfg.Handler, r.cfg.Stream, err)
		}
		defer func() { _ = observed.Unregister() }()
	}
	defer r.status.end()
	// Writing outlives both reading and handling.
	settling, endSettling := context.WithCancel(context.WithoutCancel(ctx))
	defer endSettling()
	r.share = newShare(r.budget)
	d := newDispatcher(settling, r)
	wanted := make(chan struct{})
	batches := make(chan []*Task) // unbuffered: what is sent is the dispatcher's
	lost := make(chan []*Task)

	var sourceUsers, workers sync.WaitGroup
	sourceUsers.Go(func() { r.feed(ctx, batches, wanted) })
	sourceUsers.Go(func() { r.source.Upkeep(settling, lost) })
	d.startWorker = func(i int) {
		w := &worker{
			number: i, fn: r.fn, timeout: r.cfg.HandlerTimeout, observe: r.counting.observer(i), began: d.began,
			runs: d.runs, finished: d.finished, over: d.over, stopping: &d.stopping, breaker: d.breaker, gate: &r.status.gate, group: &workers,
		}
		w.start(work, nil)
	}

	underWay := d.run(ctx, work, batches, lost, wanted)
	last, done := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout/2)
	d.writeRest(last, lost)
	done()
	close(d.over)
	endSettling()
	sourceUsers.Wait()
	d.background.Wait()
	if len(underWay) == 0 {
		workers.Wait()
	}
	// What was waited for may have taken as long as a server that is silent: giving
	// back has its time from here.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := r.source.Close(closing)
	r.share.giveBack()
	if len(underWay) > 0 {
		err = errors.Join(err, r.stuckError(underWay))
	}
	return err
}

func (r *Runner) stuckError(underWay []*Task) error {
	e := &StuckError{Handler: r.cfg.Handler, Stream: r.cfg.Stream}
	for _, t := range underWay {
		e.Entries = append(e.Entries, t.Delivery.ID)
	}
	return e
}
