package subscription

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
)

// Scope is the instrumentation scope of the engine's figures.
const Scope = "protean"

// instrument is a metric of a subscription.
type instrument struct{ name, unit, help string }

var (
	processedMessages = instrument{"protean.subscription.messages_processed", "{message}", "Calls of the handler by outcome: ok, error; skipped counts messages for other handlers, which were not called."}
	scheduledRetries  = instrument{"protean.subscription.retries", "{retry}", "Failed messages that were scheduled for another attempt."}
	deadLetters       = instrument{"protean.subscription.dlq_routed", "{message}", "Messages given up, by reason: written to the dead-letter queue, or recorded as exhausted in the event store."}
	ghostEntries      = instrument{"protean.subscription.ghost_entries", "{entry}", "Pending entries whose body was gone."}
	lostEntries       = instrument{"protean.subscription.entries_lost", "{entry}", "Entries in flight that another consumer took over, or that were acknowledged or removed by hand."}
	circuitBreaker    = instrument{"protean.subscription.circuit_breaker.state", "{transition}", "Transitions of the circuit breaker, by the state it came to: opened, half_open, closed; of subscriptions that have one."}
	callDuration      = instrument{"protean.subscription.processing_duration", "s", "Time that one call of the handler took; without messages for other handlers, and calls that found the target down."}
	endToEnd          = instrument{"protean.subscription.end_to_end", "s", "Time from the event to the end of its handling."}

	waitingRetries     = instrument{"protean.subscription.waiting_retries", "{message}", "Messages that wait for another attempt, or for their dead letter to be written; this process only."}
	waitingDeadLetters = instrument{"protean.subscription.dead_letters_waiting", "{message}", "Dead letters that could not be written yet; each holds up the later messages of its own key; this process only."}
	stuckCalls         = instrument{"protean.subscription.stuck_calls", "{call}", "Calls of the handler that run beyond their time-out and whose entries are no longer renewed; this process only."}
	targetDown         = instrument{"protean.subscription.target_down", "", "1 while the handler's target is down and the subscription is held up; this process only."}
	circuitOpen        = instrument{"protean.subscription.circuit_open", "", "1 while the circuit breaker is open or half open and the subscription is held up; of subscriptions that have one; this process only."}
	gateClosed         = instrument{"protean.subscription.gate_closed", "", "1 while the subscription is held up for this reason; this process only."}
)

// durationBuckets are the boundaries, in seconds, of the durations of calls: fine
// enough between 50 ms and 1 s that a quantile read off them is at most half as
// much again as it is. The time from event to handled goes on to an hour.
var (
	durationBuckets = []float64{
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75,
		1, 1.5, 2.5, 5, 10, 30, 60, 300,
	}
	endToEndBuckets = append(slices.Clip(durationBuckets), 600, 1800, 3600)
)

// labels are the attributes that tell a subscription's series apart.
type labels struct {
	own                 attribute.Set
	ok, failed, skipped attribute.Set
	gates               []attribute.Set                // one a reason
	reasons             [len(reasons)]attribute.Set    // in their order
	breaker             map[breakerState]attribute.Set // empty without a circuit breaker
}

func labelsOf(c Config) labels {
	name := ShortName(c.Handler)
	with := func(more ...attribute.KeyValue) attribute.Set {
		return attribute.NewSet(append([]attribute.KeyValue{
			attribute.String("domain", c.Domain),
			attribute.String("group", c.Group),
			attribute.String("handler", name),
			attribute.String("stream", c.Stream),
			attribute.String("subscription", name),
		}, more...)...)
	}
	l := labels{
		own: with(), ok: with(attribute.String("status", "ok")),
		failed: with(attribute.String("status", "error")), skipped: with(attribute.String("status", "skipped")),
	}
	for _, why := range gateReasons {
		l.gates = append(l.gates, with(attribute.String("reason", string(why))))
	}
	for i, why := range reasons {
		l.reasons[i] = with(attribute.String("reason", string(why)))
	}
	if c.BreakerThreshold > 0 {
		l.breaker = make(map[breakerState]attribute.Set)
		for _, s := range breakerStates {
			l.breaker[s] = with(attribute.String("state", string(s)))
		}
	}
	return l
}

// gauge is a figure that is read off the status.
type gauge struct {
	instrument
	labels attribute.Set
	read   func() int64
}

func gauges(l labels, s *status) []gauge {
	all := []gauge{
		{waitingRetries, l.own, s.waiting.Load},
		{waitingDeadLetters, l.own, s.deadLettersWaiting.Load},
		{stuckCalls, l.own, s.stuckCalls.Load},
		{targetDown, l.own, func() int64 { return s.gate.closedFor(TargetDown) }},
	}
	if len(l.breaker) > 0 {
		all = append(all, gauge{circuitOpen, l.own, func() int64 { return s.gate.closedFor(CircuitOpen) }})
	}
	for i, why := range gateReasons {
		if why == CircuitOpen && len(l.breaker) == 0 {
			continue
		}
		all = append(all, gauge{gateClosed, l.gates[i], func() int64 { return s.gate.closedFor(why) }})
	}
	return all
}

// counting is where a subscription counts: in figures of its own, or in
// instruments of a meter provider that the program gave.
type counting interface {
	// observer returns what notes a call of the given worker, under the handler's
	// context, whose trace becomes the exemplar.
	observer(worker int) func(*Task)
	count(counts)
	ghost()
	lose()
	deadLetter(why deadletter.Reason)
	transition(to breakerState)
}

// instruments count through a meter provider. Every counter exists from the
// start with value 0: otherwise the first dead letter is invisible to increase().
type instruments struct {
	processed, retries, deadLettered, ghosts, lost, transitions metric.Int64Counter
	duration, endToEnd                                          metric.Float64Histogram

	own, ok, failed, skipped metric.MeasurementOption
	reasons                  [len(reasons)]metric.MeasurementOption
	breaker                  map[breakerState]attribute.Set
}

func newInstruments(m metric.Meter, l labels) (*instruments, error) {
	var errs []error
	counter := func(i instrument) metric.Int64Counter {
		c, err := m.Int64Counter(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help))
		errs = append(errs, err)
		return c
	}
	histogram := func(i instrument, buckets []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help),
			metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	i := &instruments{
		processed: counter(processedMessages), retries: counter(scheduledRetries), deadLettered: counter(deadLetters),
		ghosts: counter(ghostEntries), lost: counter(lostEntries), transitions: counter(circuitBreaker),
		duration: histogram(callDuration, durationBuckets), endToEnd: histogram(endToEnd, endToEndBuckets),
		own: metric.WithAttributeSet(l.own), ok: metric.WithAttributeSet(l.ok),
		failed: metric.WithAttributeSet(l.failed), skipped: metric.WithAttributeSet(l.skipped), breaker: l.breaker,
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("instruments: %w", err)
	}
	ctx := context.Background()
	for _, outcome := range []metric.MeasurementOption{i.ok, i.failed, i.skipped} {
		i.processed.Add(ctx, 0, outcome)
	}
	for _, c := range []metric.Int64Counter{i.retries, i.ghosts, i.lost} {
		c.Add(ctx, 0, i.own)
	}
	for n, of := range l.reasons {
		i.reasons[n] = metric.WithAttributeSet(of)
		i.deadLettered.Add(ctx, 0, i.reasons[n])
	}
	for _, of := range l.breaker {
		i.transitions.Add(ctx, 0, metric.WithAttributeSet(of))
	}
	return i, nil
}

// observer implements counting.
func (i *instruments) observer(int) func(*Task) {
	return func(t *Task) {
		if !t.wasAnswered() {
			return
		}
		i.duration.Record(t.call, t.took.Seconds(), i.own)
		if t.outcome != handler.Done {
			return
		}
		if at := t.at; !at.IsZero() {
			age := t.started.Add(t.took).Sub(at)
			i.endToEnd.Record(t.call, max(age, time.Duration(0)).Seconds(), i.own)
		}
	}
}

// count implements counting.
func (i *instruments) count(t counts) {
	ctx := context.Background()
	add := func(c metric.Int64Counter, n int64, o metric.MeasurementOption) {
		if n > 0 {
			c.Add(ctx, n, o)
		}
	}
	add(i.processed, t.ok, i.ok)
	add(i.processed, t.failed, i.failed)
	add(i.processed, t.skipped, i.skipped)
	add(i.retries, t.retries, i.own)
}

func (i *instruments) ghost() { i.ghosts.Add(context.Background(), 1, i.own) }
func (i *instruments) lose()  { i.lost.Add(context.Background(), 1, i.own) }

func (i *instruments) deadLetter(why deadletter.Reason) {
	i.deadLettered.Add(context.Background(), 1, i.reasons[indexOf(why)])
}

func (i *instruments) transition(to breakerState) {
	i.transitions.Add(context.Background(), 1, metric.WithAttributeSet(i.breaker[to]))
}

// observe has a meter provider read the gauges at each collection, until they are
// unregistered.
func observe(m metric.Meter, all []gauge) (metric.Registration, error) {
	instruments := make([]metric.Int64Observable, len(all))
	observables := make([]metric.Observable, len(all))
	for i, g := range all {
		o, err := m.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.help))
		if err != nil {
			return nil, fmt.Errorf("instrument %s: %w", g.name, err)
		}
		instruments[i], observables[i] = o, o
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for i, g := range all {
			o.ObserveInt64(instruments[i], g.read(), metric.WithAttributeSet(g.labels))
		}
		return nil
	}, observables...)
}
