package gauges_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/gauges"
)

// receiver is an OTLP receiver that keeps what it got, or refuses.
type receiver struct {
	metricscollector.UnimplementedMetricsServiceServer
	endpoint string
	refuse   bool

	mu  sync.Mutex
	got []*metricspb.ResourceMetrics
}

func receive(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &receiver{endpoint: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	metricscollector.RegisterMetricsServiceServer(server, r)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return r
}

func (r *receiver) Export(_ context.Context, in *metricscollector.ExportMetricsServiceRequest) (*metricscollector.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse {
		return nil, status.Error(codes.InvalidArgument, "not today")
	}
	r.got = append(r.got, in.ResourceMetrics...)
	return &metricscollector.ExportMetricsServiceResponse{}, nil
}

// figures are what was received, by OTel name and attributes.
func (r *receiver) figures() map[string]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := map[string]float64{}
	for _, resource := range r.got {
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				points := append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...)
				for _, p := range points {
					got[m.Name+describe(p.Attributes)] = p.GetAsDouble() + float64(p.GetAsInt())
				}
			}
		}
	}
	return got
}

func (r *receiver) resource() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := map[string]string{}
	for _, pair := range r.got[0].Resource.Attributes {
		got[pair.Key] = pair.Value.GetStringValue()
	}
	return got
}

func describe(pairs []*commonpb.KeyValue) string {
	var labels []string
	for _, p := range pairs {
		labels = append(labels, fmt.Sprintf("%s=%q", p.Key, p.Value.GetStringValue()))
	}
	return "{" + strings.Join(labels, ",") + "}"
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
	r := receive(t)
	from := fixed{snapshot: everyFigure()}
	tel := telemetry(t, gauges.TelemetryConfig{
		ServiceName: "shop", ResourceAttributes: map[string]string{"team": "orders"},
		Push: true, Endpoint: r.endpoint, Snapshots: from,
	})
	counter, err := tel.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries", metric.WithUnit("{retry}"))
	require.NoError(t, err)
	counter.Add(t.Context(), 5, metric.WithAttributes(attribute.String("stream", "s")))

	h := gauges.Handler(gauges.Config{Snapshots: from, Counters: tel.Registry(), Logger: quiet})
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
	require.Equal(t, want, r.figures())
	require.Equal(t, "shop", r.resource()["service.name"])
	require.Equal(t, "orders", r.resource()["team"])
}

func TestTheFirstExportRegistersTheInfrastructure(t *testing.T) {
	r := receive(t)
	s := &source{name: "broker:default"}
	lazy := gauges.NewLazy(func(context.Context) (*collector.Collector, error) { return collect(t, s), nil }, quiet)
	tel := telemetry(t, gauges.TelemetryConfig{Push: true, Endpoint: r.endpoint, Snapshots: lazy})
	require.Zero(t, s.asked.Load())
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Contains(t, r.figures(), `protean.subscription.consumer_lag{domain="shop",group="shop.orders.Handler0",handler="Handler0",stream="shop::order0",type="stream"}`)
	require.NoError(t, lazy.Close(t.Context()))
}

func TestCountersArePushedThoughTheInfrastructureCannotBeRead(t *testing.T) {
	r := receive(t)
	tel := telemetry(t, gauges.TelemetryConfig{
		Push: true, Endpoint: r.endpoint, Snapshots: fixed{err: collector.ErrClosed},
	})
	counter, err := tel.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries")
	require.NoError(t, err)
	counter.Add(t.Context(), 1)
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Contains(t, r.figures(), "protean.subscription.retries{}")
	require.Contains(t, r.figures(), `protean.collector.success{source="collector"}`)
}

func TestTheEnvironmentIsHonoured(t *testing.T) {
	r := receive(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.endpoint)
	t.Setenv("OTEL_SERVICE_NAME", "from-env")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tel := telemetry(t, gauges.TelemetryConfig{ServiceName: "from-file", Push: true, Snapshots: fixed{snapshot: everyFigure()}})
	require.NoError(t, tel.Shutdown(t.Context()))
	require.Equal(t, "from-env", r.resource()["service.name"])
	require.Equal(t, "test", r.resource()["deployment.environment.name"])
}

func TestTheEnvironmentTurnsPushingOff(t *testing.T) {
	for _, pair := range [][2]string{{"OTEL_SDK_DISABLED", "TRUE"}, {"OTEL_METRICS_EXPORTER", "none"}} {
		t.Run(pair[0], func(t *testing.T) {
			r := receive(t)
			t.Setenv(pair[0], pair[1])
			tel := telemetry(t, gauges.TelemetryConfig{Push: true, Endpoint: r.endpoint, Snapshots: fixed{snapshot: everyFigure()}})
			require.NoError(t, tel.Shutdown(t.Context()))
			require.Empty(t, r.figures())
		})
	}
}

func TestAReceiverThatRefusesIsLoggedOnceAndHoldsNothingUp(t *testing.T) {
	r := receive(t)
	r.refuse = true
	var log testlog.Output
	tel, err := gauges.NewTelemetry(t.Context(), gauges.TelemetryConfig{
		Push: true, Endpoint: r.endpoint, Snapshots: fixed{snapshot: everyFigure()}, Logger: log.Logger(),
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

	h := gauges.Handler(gauges.Config{Snapshots: fixed{snapshot: everyFigure()}, Counters: tel.Registry(), Logger: quiet})
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
