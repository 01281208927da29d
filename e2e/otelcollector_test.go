package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/otlptranslator"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// otelCollector is the receiver of the real OpenTelemetry Collector. It stands in
// for a pipeline that is full while refuse is set.
type otelCollector struct {
	receiver receiver.Metrics
	refuse   atomic.Bool
	arrived  chan export // the newest only
}

// receive runs the receiver at an address until the test ends or it is stopped.
func receive(t *testing.T, address string) *otelCollector {
	t.Helper()
	return new(otelCollector).start(t, address)
}

func (c *otelCollector) start(t *testing.T, address string) *otelCollector {
	t.Helper()
	c.arrived = make(chan export, 1)
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"protocols": map[string]any{"grpc": map[string]any{"endpoint": address}},
	}).Unmarshal(config))
	next, err := consumer.NewMetrics(c.consume)
	require.NoError(t, err)
	c.receiver, err = factory.CreateMetrics(t.Context(), receivertest.NewNopSettings(factory.Type()), config, next)
	require.NoError(t, err)
	require.NoError(t, c.receiver.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { c.stop(t) })
	return c
}

// stop ends the receiver and its connections; again, nothing.
func (c *otelCollector) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.receiver.Shutdown(context.WithoutCancel(t.Context())))
}

func (c *otelCollector) consume(_ context.Context, metrics pmetric.Metrics) error {
	select {
	case <-c.arrived:
	default:
	}
	c.arrived <- newExport(metrics)
	if c.refuse.Load() {
		return errors.New("the pipeline is full")
	}
	return nil
}

// next waits for an export that arrives after the call.
func (c *otelCollector) next(t *testing.T) export {
	t.Helper()
	select {
	case <-c.arrived:
	default:
	}
	return c.until(t, nil)
}

// until waits for an export that has all of these figures.
func (c *otelCollector) until(t *testing.T, figures map[string]float64) export {
	t.Helper()
	deadline := time.After(limit)
	missing := figures
	for {
		select {
		case e := <-c.arrived:
			if missing = e.missing(figures); len(missing) == 0 {
				return e
			}
		case <-deadline:
			require.FailNow(t, "no such export", "within %s; the last has not: %v", limit, missing)
		}
	}
}

// export is what came in one request.
type export struct {
	resource map[string]any
	names    []string           // as OpenTelemetry has them
	series   map[string]float64 // as lines of Prometheus' text
}

func newExport(metrics pmetric.Metrics) export {
	e := export{series: map[string]float64{}}
	for _, resource := range metrics.ResourceMetrics().All() {
		e.resource = resource.Resource().Attributes().AsRaw()
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				e.names = append(e.names, m.Name())
				e.add(m)
			}
		}
	}
	return e
}

// missing are the figures that the export has not, or has another value of.
func (e export) missing(figures map[string]float64) map[string]float64 {
	figures = maps.Clone(figures)
	maps.DeleteFunc(figures, func(series string, want float64) bool {
		got, found := e.series[series]
		return found && got == want
	})
	return figures
}

// add translates a metric as the collector's own exporters for Prometheus do.
func (e export) add(m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		e.numbers(exposed(m, otlptranslator.MetricTypeGauge), m.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		e.numbers(exposed(m, otlptranslator.MetricTypeMonotonicCounter), m.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		e.histograms(exposed(m, otlptranslator.MetricTypeHistogram), m.Histogram().DataPoints())
	}
}

func exposed(m pmetric.Metric, as otlptranslator.MetricType) string {
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	name, err := namer.Build(otlptranslator.Metric{Name: m.Name(), Unit: m.Unit(), Type: as})
	if err != nil {
		return err.Error()
	}
	return name
}

func (e export) numbers(name string, points pmetric.NumberDataPointSlice) {
	for _, p := range points.All() {
		value := p.DoubleValue()
		if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			value = float64(p.IntValue())
		}
		e.series[line(name, p.Attributes())] = value
	}
}

func (e export) histograms(name string, points pmetric.HistogramDataPointSlice) {
	for _, p := range points.All() {
		e.series[line(name+"_sum", p.Attributes())] = p.Sum()
		e.series[line(name+"_count", p.Attributes())] = float64(p.Count())
		var sum uint64
		for i, count := range p.BucketCounts().All() {
			sum += count
			bound := "+Inf"
			if i < p.ExplicitBounds().Len() {
				bound = strconv.FormatFloat(p.ExplicitBounds().At(i), 'g', -1, 64)
			}
			e.series[line(name+"_bucket", p.Attributes(), fmt.Sprintf("le=%q", bound))] = float64(sum)
		}
	}
}

// line is a series as Prometheus' text has it; a bucket's bound comes last.
func line(name string, attributes pcommon.Map, last ...string) string {
	values := attributes.AsRaw()
	labels := make([]string, 0, len(values)+len(last))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		labels = append(labels, fmt.Sprintf("%s=%q", key, fmt.Sprint(values[key])))
	}
	labels = append(labels, last...)
	if len(labels) == 0 {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}
