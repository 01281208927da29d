package app_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestWhatTheFileAsksForIsPushed(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
	receiver := receiveOTLP(t)
	redis := testserver.StartRedis(t)
	shop := newApplication(t, nil)
	shop.answers(shop.unless("bad", answering(http.StatusUnprocessableEntity, "no")))
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[telemetry]
enabled = true
endpoint = %q
service_name = "shop-worker"
[telemetry.resource_attributes]
team = "orders"

[observatory]
name = "shop"

[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
`, receiver.endpoint, stream, shop.URL))})
	client := redis.Client(t)
	placeMany(t, client, "good", 4)
	shoptest.Place(t, client, "bad")

	handler := []string{"domain", "shop", "handler", "OrderMailer", "group", "OrderMailer", "stream", stream}
	is := func(want float64, metric string, labels ...string) {
		r.until(fmt.Sprintf("%s%q is pushed as %v", metric, labels, want), func() bool {
			got, known := receiver.figure(metric, labels...)
			return known && got == want
		})
	}
	is(4, "protean.subscription.messages_processed", append(handler, "status", "ok")...)
	is(0, "protean.subscription.messages_processed", append(handler, "status", "skipped")...)
	is(1, "protean.subscription.dlq_routed", handler...)
	is(5, "protean.subscription.processing_duration", handler...)
	is(1, "protean.engine.up", "domain", "shop")
	is(1, "protean.dlq.depth", "dlq_stream", stream+":dlq")
	is(0, "protean.subscription.consumer_lag", append(handler, "type", "stream")...)
	is(5, "protean.subscription.entries_read", append(handler, "type", "stream")...)
	is(1, "protean_broker_up", "broker_name", "default")
	require.Equal(t, "shop-worker", receiver.resource("service.name"))
	require.Equal(t, "orders", receiver.resource("team"))

	shoptest.Place(t, client, "last")
	r.until("it is delivered", func() bool { return shop.has("last") })
	require.NoError(t, r.halt())
	got, _ := receiver.figure("protean.subscription.messages_processed", append(handler, "status", "ok")...)
	require.InDelta(t, 5, got, 0, "what was counted last is pushed at the end")
}

func TestNothingIsPushedUnlessTheFileAsksForIt(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
	receiver := receiveOTLP(t)
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile, fmt.Sprintf("[telemetry]\nendpoint = %q\n", receiver.endpoint))})
	r.becomes(1, "protean_engine_up")
	require.NoError(t, r.halt(), "which would push a last time")
	_, known := receiver.figure("protean.engine.uptime_seconds")
	require.False(t, known)
}

// otlpReceiver keeps the last that it was sent of each series.
type otlpReceiver struct {
	metricscollector.UnimplementedMetricsServiceServer
	endpoint string

	mu     sync.Mutex
	series map[string][]point // by the metric's name
	of     map[string]string  // the resource
}

type point struct {
	labels map[string]string
	value  float64 // of a histogram the count
}

func receiveOTLP(t *testing.T) *otlpReceiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &otlpReceiver{endpoint: "http://" + listener.Addr().String(), series: map[string][]point{}}
	server := grpc.NewServer()
	metricscollector.RegisterMetricsServiceServer(server, r)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return r
}

// Export takes one push.
func (r *otlpReceiver) Export(_ context.Context, in *metricscollector.ExportMetricsServiceRequest) (*metricscollector.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range in.ResourceMetrics {
		r.of = labelsOf(resource.Resource.Attributes)
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				r.series[m.Name] = pointsOf(m)
			}
		}
	}
	return &metricscollector.ExportMetricsServiceResponse{}, nil
}

func pointsOf(m *metricspb.Metric) (points []point) {
	for _, p := range append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...) {
		points = append(points, point{labelsOf(p.Attributes), p.GetAsDouble() + float64(p.GetAsInt())})
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		points = append(points, point{labelsOf(p.Attributes), float64(p.Count)})
	}
	return points
}

func labelsOf(pairs []*commonpb.KeyValue) map[string]string {
	labels := map[string]string{}
	for _, p := range pairs {
		labels[p.Key] = p.Value.GetStringValue()
	}
	return labels
}

// figure is the last value of the first series with these labels.
func (r *otlpReceiver) figure(metric string, labels ...string) (value float64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.series[metric] {
		if matches(p.labels, labels) {
			return p.value, true
		}
	}
	return 0, false
}

func (r *otlpReceiver) resource(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[name]
}
