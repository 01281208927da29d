package gauges

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/collector"
)

// scope is what the infrastructure gauges are exported under.
const scope = "protean.infrastructure"

// Producer hands the table to the periodic reader of an OTLP exporter.
type Producer struct {
	snapshots Snapshots
	table     []Gauge
	repeats   *repeats
}

// NewProducer returns a Producer of the Table. The logger (default
// slog.Default()) gets a line where two samples have the same labels.
func NewProducer(snapshots Snapshots, logger *slog.Logger) *Producer {
	return &Producer{snapshots: snapshots, table: Table(), repeats: &repeats{logger: component(logger)}}
}

// Produce takes a snapshot in half of the time that ctx leaves, so that the
// export has the rest, and at most 10 s. It never returns an error: one would
// drop the whole export, the engine's counters too.
func (p *Producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	ctx, cancel := context.WithTimeout(ctx, exportTime(ctx))
	defer cancel()
	metrics := p.metrics(snapshot(ctx, p.snapshots))
	if len(metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope}, Metrics: metrics}}, nil
}

func exportTime(ctx context.Context) time.Duration {
	const longest = 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Until(deadline)/2, longest)
	}
	return longest
}

func (p *Producer) metrics(s *collector.Snapshot) []metricdata.Metrics {
	metrics := make([]metricdata.Metrics, 0, len(p.table))
	reader := newReader(p.repeats)
	for i := range p.table {
		g := &p.table[i]
		var points []metricdata.DataPoint[float64]
		reader.read(g, s, func(value float64, labels ...string) {
			points = append(points, metricdata.DataPoint[float64]{
				Attributes: attributes(g, labels), Time: s.Taken, Value: value,
			})
		})
		if len(points) > 0 {
			metrics = append(metrics, named(g, points))
		}
	}
	return metrics
}

func attributes(g *Gauge, labels []string) attribute.Set {
	pairs := make([]attribute.KeyValue, len(labels))
	for i, label := range labels {
		pairs[i] = attribute.String(g.Labels[i], label)
	}
	return attribute.NewSet(pairs...)
}

// named names the points. The start of a counter is left open: it belongs to
// the server that counts, which does not say when it began.
func named(g *Gauge, points []metricdata.DataPoint[float64]) metricdata.Metrics {
	m := metricdata.Metrics{Name: g.Name, Description: g.Help, Unit: g.Unit}
	if g.Counter {
		m.Data = metricdata.Sum[float64]{
			DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
		}
	} else {
		m.Data = metricdata.Gauge[float64]{DataPoints: points}
	}
	return m
}
