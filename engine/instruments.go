package engine

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe registers the engine's own gauges. `up` has no unit on purpose: unit
// 1 would be exposed as `_ratio`.
func (e *Engine) observe(m metric.Meter) error {
	up, err1 := m.Int64ObservableGauge("protean.engine.up",
		metric.WithDescription("1 while the engine runs, 0 from the moment it must stop; this process only."))
	uptime, err2 := m.Float64ObservableGauge("protean.engine.uptime_seconds", metric.WithUnit("s"),
		metric.WithDescription("Seconds since the engine was built; this process only."))
	active, err3 := m.Int64ObservableGauge("protean.engine.active_subscriptions", metric.WithUnit("{subscription}"),
		metric.WithDescription("Subscriptions that read: members of their consumer group, or with a position in the event store; this process only."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	labels := metric.WithAttributeSet(attribute.NewSet(attribute.String("domain", e.cfg.Domain)))
	var err error
	e.registration, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(up, e.up(), labels)
		o.ObserveFloat64(uptime, time.Since(e.started).Seconds(), labels)
		o.ObserveInt64(active, e.active(), labels)
		return nil
	}, up, uptime, active)
	return err
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
