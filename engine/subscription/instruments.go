package subscription

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/observatory-go/observatory/engine/handler"
)

// Scope is the instrumentation scope of the engine's instruments.
const Scope = "protean"

// durationBuckets are the boundaries, in seconds, of the durations of calls;
// the time from event to handled goes on to an hour.
var (
	durationBuckets = []float64{
		0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
	}
	endToEndBuckets = append(slices.Clip(durationBuckets), 600, 1800, 3600)
)

// instruments count for one subscription. Every counter exists from the start
// with value 0: otherwise the first dead letter is invisible to increase().
type instruments struct {
	processed metric.Int64Counter
	retries   metric.Int64Counter
	dlqRouted metric.Int64Counter
	ghosts    metric.Int64Counter
	lost      metric.Int64Counter
	duration  metric.Float64Histogram
	endToEnd  metric.Float64Histogram

	labels              metric.MeasurementOption
	ok, failed, foreign metric.MeasurementOption
}

// newInstruments creates the counters and histograms of the subscription.
func newInstruments(m metric.Meter, c Config) (*instruments, error) {
	i := &instruments{}
	var errs []error
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("instrument %s: %w", name, err))
		}
	}
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		check(name, err)
		return c
	}
	histogram := func(name, help string, buckets []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help),
			metric.WithExplicitBucketBoundaries(buckets...))
		check(name, err)
		return h
	}
	i.processed = counter("protean.subscription.messages_processed", "{message}", "Calls of the handler by outcome: ok, error; skipped counts messages for other handlers, which were not called.")
	i.retries = counter("protean.subscription.retries", "{retry}", "Failed messages that were scheduled for another attempt.")
	i.dlqRouted = counter("protean.subscription.dlq_routed", "{message}", "Messages written to the dead-letter queue.")
	i.ghosts = counter("protean.subscription.ghost_entries", "{entry}", "Pending entries whose body was gone.")
	i.lost = counter("protean.subscription.entries_lost", "{entry}", "Entries in flight that another consumer took over, or that were acknowledged or removed by hand.")
	i.duration = histogram("protean.subscription.processing_duration", "Time that one call of the handler took.", durationBuckets)
	i.endToEnd = histogram("protean.subscription.end_to_end", "Time from the event to the end of its handling.", endToEndBuckets)
	i.label(c)
	i.startAtZero()
	return i, errors.Join(errs...)
}

// attributes identify the subscription on each of its series.
func attributes(c Config) []attribute.KeyValue {
	name := ShortName(c.Handler)
	return []attribute.KeyValue{
		attribute.String("domain", c.Domain),
		attribute.String("group", c.Group),
		attribute.String("handler", name),
		attribute.String("stream", c.Stream),
		attribute.String("subscription", name),
	}
}

func (i *instruments) label(c Config) {
	with := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(attributes(c), more...)...))
	}
	i.labels = with()
	i.ok = with(attribute.String("status", "ok"))
	i.failed = with(attribute.String("status", "error"))
	i.foreign = with(attribute.String("status", "skipped"))
}

func (i *instruments) startAtZero() {
	ctx := context.Background()
	for _, outcome := range []metric.MeasurementOption{i.ok, i.failed, i.foreign} {
		i.processed.Add(ctx, 0, outcome)
	}
	for _, c := range []metric.Int64Counter{i.retries, i.dlqRouted, i.ghosts, i.lost} {
		c.Add(ctx, 0, i.labels)
	}
}

// called records one call of the handler, under the handler's context, whose
// trace becomes the exemplar.
func (i *instruments) called(ctx context.Context, t *Task) {
	i.duration.Record(ctx, t.took.Seconds(), i.labels)
	if t.outcome != handler.Done {
		return
	}
	if at := t.envelope.Metadata.Headers.Time; !at.IsZero() {
		age := t.started.Add(t.took).Sub(at)
		i.endToEnd.Record(ctx, max(age, time.Duration(0)).Seconds(), i.labels)
	}
}

func (i *instruments) count(t counts) {
	ctx := context.Background()
	add := func(c metric.Int64Counter, n int64, o metric.MeasurementOption) {
		if n > 0 {
			c.Add(ctx, n, o)
		}
	}
	add(i.processed, t.ok, i.ok)
	add(i.processed, t.failed, i.failed)
	add(i.processed, t.skipped, i.foreign)
	add(i.retries, t.retries, i.labels)
}

func (i *instruments) ghost()      { i.ghosts.Add(context.Background(), 1, i.labels) }
func (i *instruments) lose()       { i.lost.Add(context.Background(), 1, i.labels) }
func (i *instruments) deadLetter() { i.dlqRouted.Add(context.Background(), 1, i.labels) }

// observe registers the gauges that are read from the status at each scrape,
// until they are unregistered.
func observe(m metric.Meter, c Config, s *status) (metric.Registration, error) {
	labels := metric.WithAttributeSet(attribute.NewSet(attributes(c)...))
	gauges := []struct {
		name, unit, help string
		read             func() int64
		labels           metric.MeasurementOption
	}{
		{
			"protean.subscription.waiting_retries", "{message}",
			"Messages that wait for another attempt, or for their dead letter to be written; this process only.",
			s.waiting.Load, labels,
		},
		{
			"protean.subscription.dead_letters_waiting", "{message}",
			"Dead letters that could not be written yet; each holds up the later messages of its own key; this process only.",
			s.deadLettersWaiting.Load, labels,
		},
		{
			"protean.subscription.stuck_calls", "{call}",
			"Calls of the handler that run beyond their time-out and whose entries are no longer renewed; this process only.",
			s.stuckCalls.Load, labels,
		},
		{
			"protean.subscription.target_down", "",
			"1 while the handler's target is down and the subscription is held up; this process only.",
			closedFor(s, TargetDown), labels,
		},
	}
	for _, why := range gateReasons {
		gauges = append(gauges, gauges[0])
		g := &gauges[len(gauges)-1]
		g.name, g.unit, g.read = "protean.subscription.gate_closed", "", closedFor(s, why)
		g.help = "1 while the subscription is held up for this reason; this process only."
		g.labels = metric.WithAttributeSet(attribute.NewSet(append(attributes(c), attribute.String("reason", string(why)))...))
	}
	instruments := make([]metric.Int64Observable, len(gauges))
	observables := make([]metric.Observable, len(gauges))
	for i, g := range gauges {
		gauge, err := m.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.help))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		instruments[i], observables[i] = gauge, gauge
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for i, g := range gauges {
			o.ObserveInt64(instruments[i], g.read(), g.labels)
		}
		return nil
	}, observables...)
}

func closedFor(s *status, why GateReason) func() int64 {
	return func() int64 {
		if s.gate.is(why) {
			return 1
		}
		return 0
	}
}
