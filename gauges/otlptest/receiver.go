// Package otlptest is an OTLP receiver for tests of what is pushed.
package otlptest

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Receiver keeps the newest points of each metric that is pushed to it.
type Receiver struct {
	metricscollector.UnimplementedMetricsServiceServer
	// Endpoint is its address, as http://host:port.
	Endpoint string

	refusal  string
	mu       sync.Mutex
	metrics  map[string][]Point
	resource map[string]string
}

// Point is one point of a metric; of a histogram its value is the count.
type Point struct {
	Labels map[string]string
	Value  float64
}

// Receive starts a receiver on a free loopback port, which ends with the test.
func Receive(t testing.TB) *Receiver {
	t.Helper()
	return receive(t, "")
}

// Refuse starts a receiver that refuses every push for the given reason.
func Refuse(t testing.TB, reason string) *Receiver {
	t.Helper()
	return receive(t, reason)
}

func receive(t testing.TB, refusal string) *Receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &Receiver{Endpoint: "http://" + listener.Addr().String(), refusal: refusal, metrics: map[string][]Point{}}
	server := grpc.NewServer()
	metricscollector.RegisterMetricsServiceServer(server, r)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return r
}

// Export takes one push.
func (r *Receiver) Export(_ context.Context, in *metricscollector.ExportMetricsServiceRequest) (*metricscollector.ExportMetricsServiceResponse, error) {
	if r.refusal != "" {
		return nil, status.Error(codes.InvalidArgument, r.refusal)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range in.ResourceMetrics {
		r.resource = labelsOf(resource.Resource.Attributes)
		for _, scope := range resource.ScopeMetrics {
			for _, m := range scope.Metrics {
				r.metrics[m.Name] = pointsOf(m)
			}
		}
	}
	return &metricscollector.ExportMetricsServiceResponse{}, nil
}

// Metrics returns the newest points of each metric, by its name.
func (r *Receiver) Metrics() map[string][]Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.metrics)
}

// Resource returns the attributes of the resource that pushed last.
func (r *Receiver) Resource() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.resource)
}

func pointsOf(m *metricspb.Metric) (points []Point) {
	for _, p := range append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...) {
		points = append(points, Point{labelsOf(p.Attributes), p.GetAsDouble() + float64(p.GetAsInt())})
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		points = append(points, Point{labelsOf(p.Attributes), float64(p.Count)})
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
