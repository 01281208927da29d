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

	"github.com/observatory-go/observatory/engine/subscription"
)

// instrument is a gauge of the engine. `up` has no unit on purpose: unit 1 would
// be exposed as `_ratio`.
type instrument struct{ name, unit, help string }

var (
	engineUp            = instrument{"protean.engine.up", "", "1 while the engine runs, 0 from the moment it must stop; this process only."}
	uptime              = instrument{"protean.engine.uptime_seconds", "s", "Seconds since the engine was built; this process only."}
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
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: subscription.Scope}, Metrics: metrics}}, nil
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
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	labels := metric.WithAttributeSet(e.labels())
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(up, e.up(), labels)
		o.ObserveFloat64(seconds, time.Since(e.started).Seconds(), labels)
		o.ObserveInt64(active, e.active(), labels)
		return nil
	}, up, seconds, active)
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
