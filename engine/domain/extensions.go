package domain

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/subscription"
)

// extensionsLeftOut counts, for one handler of the file, the extension
// attributes that its events were sent without. It logs the first one for each
// reason.
type extensionsLeftOut struct {
	counter metric.Int64Counter
	labels  metric.MeasurementOption
	log     *slog.Logger
	logged  sync.Map // by reason
}

func (e *extensionsLeftOut) add(extension, reason string) {
	e.counter.Add(context.Background(), 1, e.labels)
	if _, known := e.logged.LoadOrStore(reason, true); !known {
		e.log.Warn("an event is sent without an extension; others for this reason are only counted",
			"extension", extension, "reason", reason)
	}
}

// countLeftOut returns what counts for a handler of the file, in the domain of that
// name.
func (d *Domain) countLeftOut(domain string, r handler.Registration) *extensionsLeftOut {
	stream, name := r.Streams[0], subscription.ShortName(r.Name)
	e := &extensionsLeftOut{
		counter: noop.Int64Counter{},
		labels: metric.WithAttributeSet(attribute.NewSet(
			attribute.String("domain", domain),
			attribute.String("group", groupOf(r)),
			attribute.String("handler", name),
			attribute.String("stream", stream),
			attribute.String("subscription", name),
		)),
		log: d.log.With("component", "deliver", "handler", r.Name, "stream", stream),
	}
	d.leftOut = append(d.leftOut, e)
	return e
}

// Instrument makes the counters of the file's handlers, which an engine's own do
// not cover: protean.subscription.extensions_left_out. Call it before the engine
// runs; without it nothing is counted.
func (d *Domain) Instrument(p metric.MeterProvider) error {
	const name = "protean.subscription.extensions_left_out"
	counter, err := p.Meter(subscription.Scope).Int64Counter(name, metric.WithUnit("{extension}"),
		metric.WithDescription("Extension attributes that events were sent without: of a name or a value that no attribute may have, or of a name that is taken."))
	if err != nil {
		return fmt.Errorf("instrument %s: %w", name, err)
	}
	for _, e := range d.leftOut {
		e.counter = counter
		counter.Add(context.Background(), 0, e.labels)
	}
	return nil
}
