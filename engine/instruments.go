package engine

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// instrument is a gauge of the engine. `up` has no unit on purpose: unit 1 would
// be exposed as `_ratio`.
type instrument struct{ name, unit, help string }

var (
	engineUp            = instrument{"protean.engine.up", "", "1 while the engine runs, 0 from the moment it must stop; this process only."}
	uptime              = instrument{"protean.engine.uptime_seconds", "s", "Seconds since the engine was built; this process only."}
	trimmedDeadLetters  = instrument{"protean.dlq.trimmed", "{message}", "Dead letters that maintenance trimmed by their age, which are lost; by this process, where it maintains the queue."}
	deadLetterAlerts    = instrument{"protean.dlq.alerts", "{alert}", "Maintenance cycles that found the dead-letter queue at its threshold or above; by this process, where it maintains the queue."}
	activeSubscriptions = instrument{"protean.engine.active_subscriptions", "{subscription}", "Subscriptions that read: members of their consumer group, or with a position in the event store; this process only."}
)

// Producer is where a reader of OpenTelemetry gets the figures that the engine
// counts: attach it when the reader is built (WithProducer of the Prometheus
// exporter and of the periodic reader), or give it to gauges.NewTelemetry. They
// are cumulative; a reader's preference for another temporality does not reach
// them. Where Config.MeterProvider counts it produces nothing.
func (e *Engine) Producer() sdkmetric.Producer { return producer{e} }

type producer struct{ *Engine }

// Produce implements [sdkmetric.Producer].
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	if p.cfg.MeterProvider != nil {
		return nil, nil
	}
	now := time.Now()
	labels := p.labels()
	whole := func(i instrument, n int64) metricdata.Metrics {
		point := metricdata.DataPoint[int64]{Attributes: labels, Time: now, Value: n}
		return metricdata.Metrics{Name: i.name, Unit: i.unit, Description: i.help, Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{point}}}
	}
	seconds := metricdata.DataPoint[float64]{Attributes: labels, Time: now, Value: time.Since(p.started).Seconds()}
	metrics := append(subscription.Metrics(p.runners),
		whole(engineUp, p.up()),
		metricdata.Metrics{Name: uptime.name, Unit: uptime.unit, Description: uptime.help, Data: metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{seconds}}},
		whole(activeSubscriptions, p.active()),
	)
	metrics = append(metrics, p.queueMetrics(now)...)
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: subscription.Scope}, Metrics: metrics}}, nil
}

// queueMetrics are the counters of the dead-letter queues that are maintained.
func (e *Engine) queueMetrics(now time.Time) []metricdata.Metrics {
	var trimmed, alerts []metricdata.DataPoint[int64]
	for _, c := range e.queues.Counts() {
		point := metricdata.DataPoint[int64]{Attributes: e.queueLabels(c), StartTime: e.started, Time: now, Value: c.Trimmed}
		trimmed = append(trimmed, point)
		point.Value = c.Alerts
		alerts = append(alerts, point)
	}
	if len(trimmed) == 0 {
		return nil
	}
	sum := func(i instrument, points []metricdata.DataPoint[int64]) metricdata.Metrics {
		return metricdata.Metrics{
			Name: i.name, Unit: i.unit, Description: i.help,
			Data: metricdata.Sum[int64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true},
		}
	}
	return []metricdata.Metrics{sum(trimmedDeadLetters, trimmed), sum(deadLetterAlerts, alerts)}
}

func (e *Engine) queueLabels(c deadletter.Count) attribute.Set {
	return attribute.NewSet(attribute.String("domain", e.cfg.Domain), attribute.String("dlq_stream", c.DLQStream))
}

func (e *Engine) labels() attribute.Set {
	return attribute.NewSet(attribute.String("domain", e.cfg.Domain))
}

// observe has a meter provider read the engine's own gauges.
func (e *Engine) observe(m metric.Meter) (metric.Registration, error) {
	up, err1 := m.Int64ObservableGauge(engineUp.name, metric.WithDescription(engineUp.help))
	seconds, err2 := m.Float64ObservableGauge(uptime.name, metric.WithUnit(uptime.unit), metric.WithDescription(uptime.help))
	active, err3 := m.Int64ObservableGauge(activeSubscriptions.name, metric.WithUnit(activeSubscriptions.unit),
		metric.WithDescription(activeSubscriptions.help))
	trimmed, err4 := m.Int64ObservableCounter(trimmedDeadLetters.name, metric.WithUnit(trimmedDeadLetters.unit), metric.WithDescription(trimmedDeadLetters.help))
	alerts, err5 := m.Int64ObservableCounter(deadLetterAlerts.name, metric.WithUnit(deadLetterAlerts.unit), metric.WithDescription(deadLetterAlerts.help))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	labels := metric.WithAttributeSet(e.labels())
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(up, e.up(), labels)
		o.ObserveFloat64(seconds, time.Since(e.started).Seconds(), labels)
		o.ObserveInt64(active, e.active(), labels)
		for _, c := range e.queues.Counts() {
			of := metric.WithAttributeSet(e.queueLabels(c))
			o.ObserveInt64(trimmed, c.Trimmed, of)
			o.ObserveInt64(alerts, c.Alerts, of)
		}
		return nil
	}, up, seconds, active, trimmed, alerts)
}

func (e *Engine) up() int64 {
	if e.ran.Load() && !e.shuttingDown.Load() {
		return 1
	}
	return 0
}

func (e *Engine) active() (n int64) {
	for _, s := range e.runners {
		if s.Status().Joined {
			n++
		}
	}
	return n
}
