package gauges_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/gauges"
	"github.com/observatory-go/observatory/gauges/otlptest"
)

// received are the figures that were received, by OTel name and attributes.
func received(r *otlptest.Receiver) map[string]float64 {
	got := map[string]float64{}
	for name, points := range r.Metrics() {
		for _, p := range points {
			var labels []string
			for _, label := range slices.Sorted(maps.Keys(p.Labels)) {
				labels = append(labels, fmt.Sprintf("%s=%q", label, p.Labels[label]))
			}
			got[name+"{"+strings.Join(labels, ",")+"}"] = p.Value
		}
	}
	return got
}

func telemetry(t *testing.T, config gauges.TelemetryConfig) *gauges.Telemetry {
	t.Helper()
	if config.Logger == nil {
		config.Logger = quiet
	}
	tel, err := gauges.NewTelemetry(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	return tel
}

func TestOTLPCarriesTheFiguresThatTheScrapeShows(t *testing.T) {
	r := otlptest.Receive(t)
	from := fixed{snapshot: everyFigure()}
	tel := telemetry(t, gauges.TelemetryConfig{
		ServiceName: "shop", ResourceAttributes: map[string]string{"team": "orders"},
		Push: true, Endpoint: r.Endpoint, Snapshots: from,
	})
	counter, err := tel.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries", metric.WithUnit("{retry}"))
	require.NoError(t, err)
	counter.Add(t.Context(), 5, metric.WithAttributes(attribute.String("stream", "s")))

	h := gauges.Handler(gauges.Config{Snapshots: from, Counters: tel.Counters(), Logger: quiet})
	scraped := samples(t, scrape(t, h).Body.String())
	require.InDelta(t, 5, scraped[`protean_subscription_retries_total{stream="s"}`], 0)
	require.NoError(t, tel.Shutdown(t.Context()), "which pushes a last time")

	want := map[string]float64{`protean.subscription.retries{stream="s"}`: 5}
	for _, g := range gauges.Table() {
		for series, value := range scraped {
			if labels, found := strings.CutPrefix(series, g.Exposed+"{"); found {
				want[g.Name+"{"+labels] = value
			}
		}
	}
	require.Len(t, want, len(scraped))
	require.Equal(t, want, received(r))
	require.Equal(t, "shop", r.Resource()["service.name"])
	require.Equal(t, "orders", r.Resource()["team"])
}

func TestTheFirstExportRegistersTheInfrastructure(t *testing.T) {
	r := otlptest.Receive(t)
	s := &source{name: "broker:default"}
	lazy := gauges.NewLazy(func(context.Context) (*collector.Collector, error) { return collect(t, s), nil }, quiet)
	tel := telemetry(t, gauges.TelemetryConfig{Push: true, Endpoint: r.Endpoint, Snapshots: lazy})
	require.Zero(t, s.asked.Load())
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Contains(t, received(r), `protean.subscription.consumer_lag{domain="shop",group="shop.orders.Handler0",handler="Handler0",stream="shop::order0",type="stream"}`)
	require.NoError(t, lazy.Close(t.Context()))
}

func TestCountersArePushedThoughTheInfrastructureCannotBeRead(t *testing.T) {
	r := otlptest.Receive(t)
	tel := telemetry(t, gauges.TelemetryConfig{
		Push: true, Endpoint: r.Endpoint, Snapshots: fixed{err: collector.ErrClosed},
	})
	counter, err := tel.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries")
	require.NoError(t, err)
	counter.Add(t.Context(), 1)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Contains(t, received(r), "protean.subscription.retries{}")
	require.Contains(t, received(r), `protean.collector.success{source="collector"}`)
}

func TestTheEnvironmentIsHonoured(t *testing.T) {
	r := otlptest.Receive(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.Endpoint)
	t.Setenv("OTEL_SERVICE_NAME", "from-env")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tel := telemetry(t, gauges.TelemetryConfig{ServiceName: "from-file", Push: true, Snapshots: fixed{snapshot: everyFigure()}})
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Equal(t, "from-env", r.Resource()["service.name"])
	require.Equal(t, "test", r.Resource()["deployment.environment.name"])
}

func TestTheEnvironmentTurnsPushingOff(t *testing.T) {
	for _, pair := range [][2]string{{"OTEL_SDK_DISABLED", "TRUE"}, {"OTEL_METRICS_EXPORTER", "none"}} {
		t.Run(pair[0], func(t *testing.T) {
			r := otlptest.Receive(t)
			t.Setenv(pair[0], pair[1])
			tel := telemetry(t, gauges.TelemetryConfig{Push: true, Endpoint: r.Endpoint, Snapshots: fixed{snapshot: everyFigure()}})
			require.NoError(t, tel.Shutdown(t.Context()))
			require.Empty(t, received(r))
		})
	}
}

func TestAReceiverThatRefusesIsLoggedOnceAndHoldsNothingUp(t *testing.T) {
	r := otlptest.Refuse(t, "not today")
	var log testlog.Output
	tel, err := gauges.NewTelemetry(t.Context(), gauges.TelemetryConfig{
		Push: true, Endpoint: r.Endpoint, Snapshots: fixed{snapshot: everyFigure()}, Logger: log.Logger(),
	})
	require.NoError(t, err)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.NoError(t, tel.Shutdown(t.Context()), "twice")
	require.Len(t, log.Lines(), 1)
	require.Contains(t, log.Lines()[0], "not today")
}

func TestAnEndpointThatIsNoneIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, endpoint := range []string{"ftp://user:secret@host:1", "http://", "http://user:secret@\x7f"} {
		_, err := gauges.NewTelemetry(t.Context(), gauges.TelemetryConfig{Push: true, Endpoint: endpoint, Logger: quiet})
		require.ErrorContains(t, err, "expected http://host:port")
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestMetricsThatAreOffCostAndShowNothing(t *testing.T) {
	tel := telemetry(t, gauges.TelemetryConfig{Off: true, Push: true})
	counter, err := tel.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries")
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { counter.Add(context.Background(), 1) }))
	families, err := tel.Registry().Gather()
	require.NoError(t, err)
	require.Empty(t, families)
}

func TestCountersHaveNeitherALimitNorScopeLabelsAndCarryTheTrace(t *testing.T) {
	tel := telemetry(t, gauges.TelemetryConfig{})
	meter := tel.MeterProvider().Meter("protean")
	counter, err := meter.Int64Counter("protean.subscription.retries", metric.WithUnit("{retry}"))
	require.NoError(t, err)
	traced := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	const sets = 2500
	for i := range sets {
		counter.Add(traced, 1, metric.WithAttributes(attribute.Int("stream", i)))
	}
	up, err := meter.Int64Gauge("protean.engine.up")
	require.NoError(t, err)
	up.Record(t.Context(), 1)

	h := gauges.Handler(gauges.Config{Snapshots: fixed{snapshot: everyFigure()}, Counters: tel.Counters(), Logger: quiet})
	text := scrape(t, h, "Accept", "application/openmetrics-text; version=1.0.0").Body.String()
	require.Equal(t, sets, strings.Count(text, "\nprotean_subscription_retries_total{stream="))
	require.Contains(t, text, "\nprotean_engine_up 1.0\n")
	require.Contains(t, text, `trace_id="01000000000000000000000000000000"`)
	require.NotContains(t, text, "otel_scope")
	require.NotContains(t, text, "target_info")
}

func TestAnExportLeavesHalfOfItsTimeToTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := gauges.NewProducer(collect(t, &source{name: "slow", delay: time.Hour}), quiet)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		started := time.Now()
		got, err := p.Produce(ctx)
		require.NoError(t, err)
		require.Equal(t, "protean.infrastructure", got[0].Scope.Name)
		require.LessOrEqual(t, time.Since(started), 5*time.Second)
	})
}
