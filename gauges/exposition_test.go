package gauges_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/gauges"
)

// produced is a producer of a fixed answer.
type produced struct {
	metrics []metricdata.Metrics
	err     error
}

func (p produced) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	return []metricdata.ScopeMetrics{{Metrics: p.metrics}}, p.err
}

// everyKind has each kind of metric, with values and labels at their edges.
func everyKind() []metricdata.Metrics {
	odd := attribute.NewSet(attribute.String("handler", `a"b\c`), attribute.String("stream", "x\ny\xff"), attribute.Int("n", 7))
	none := attribute.NewSet()
	at := time.Unix(1790000000, 250_000_000)
	var counted []metricdata.DataPoint[int64]
	for _, n := range []int64{0, 1, 999_999, 1_000_000, 123_456_789, math.MaxInt64} {
		counted = append(counted, metricdata.DataPoint[int64]{Attributes: attribute.NewSet(attribute.Int64("n", n)), Value: n})
	}
	var measured []metricdata.DataPoint[float64]
	for _, v := range []float64{0, -1, 0.5, 1e21, 1e-9, math.Inf(1), math.Inf(-1), math.NaN()} {
		measured = append(measured, metricdata.DataPoint[float64]{Attributes: attribute.NewSet(attribute.Float64("v", v)), Value: v})
	}
	return []metricdata.Metrics{
		{Name: "protean.b.retries", Unit: "{retry}", Description: "Retries; \"quoted\", with \\ and\na line.", Data: metricdata.Sum[int64]{DataPoints: counted, IsMonotonic: true}},
		{Name: "protean.a.level", Description: "A level.", Data: metricdata.Gauge[float64]{DataPoints: measured}},
		{Name: "protean.c.waiting", Description: "One without labels.", Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Attributes: none, Value: 3}}}},
		{Name: "protean.d.duration", Unit: "s", Description: "A duration.", Data: metricdata.Histogram[float64]{DataPoints: []metricdata.HistogramDataPoint[float64]{
			{
				Attributes: odd, Count: 2_000_006, Sum: 12.5, Bounds: []float64{0.0005, 0.1, 1, 300}, BucketCounts: []uint64{1, 2_000_000, 2, 0, 3},
				Exemplars: []metricdata.Exemplar[float64]{
					{Time: at, Value: 0.1, TraceID: bytes.Repeat([]byte{0xab}, 16), SpanID: bytes.Repeat([]byte{0xcd}, 8)},
					{Time: at, Value: 301, TraceID: bytes.Repeat([]byte{1}, 16), SpanID: bytes.Repeat([]byte{2}, 8)},
				},
			},
			{Attributes: none, Bounds: []float64{0.0005, 0.1, 1, 300}, BucketCounts: make([]uint64, 5)},
		}}},
		{Name: "protean.e.empty", Data: metricdata.Gauge[int64]{}},
	}
}

// ask asks a page for what the producers count, and nothing else.
func ask(t *testing.T, tel *gauges.Telemetry, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	page := gauges.Handler(gauges.Config{Snapshots: fixed{snapshot: &collector.Snapshot{}}, Counters: tel.Counters(), Logger: quiet})
	request := httptest.NewRequest(http.MethodGet, path, nil)
	maps.Copy(request.Header, header)
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, request)
	require.Equal(t, http.StatusOK, answer.Code)
	return answer
}

func telemetryOf(t *testing.T, producers ...sdkmetric.Producer) *gauges.Telemetry {
	t.Helper()
	tel, err := gauges.NewTelemetry(t.Context(), gauges.TelemetryConfig{Producers: producers, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	return tel
}

func TestWhatProducersCountReadsAsTheLibraryWritesIt(t *testing.T) {
	tel := telemetryOf(t, produced{metrics: everyKind()})
	for _, accept := range []string{"text/plain", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1"} {
		t.Run(accept, func(t *testing.T) {
			header := http.Header{"Accept": {accept}}
			for range 3 { // anew, then from what was kept
				families, done, err := tel.Counters().Gather()
				require.NoError(t, err)
				require.Len(t, families, 4)
				var want bytes.Buffer
				format := expfmt.NegotiateAccept(header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
				enc := expfmt.NewEncoder(&want, format)
				for _, f := range families {
					require.NoError(t, enc.Encode(f))
				}
				require.NoError(t, enc.(expfmt.Closer).Close())
				done()
				answer := ask(t, tel, "/metrics", header)
				got, rest, _ := strings.Cut(answer.Body.String(), "# HELP protean_collector")
				require.Equal(t, string(format), answer.Header().Get("Content-Type"))
				require.Equal(t, strings.TrimSuffix(want.String(), "# EOF\n"), strings.TrimSuffix(got, "# EOF\n"))
				if format.FormatType() == expfmt.TypeOpenMetrics {
					require.True(t, strings.HasSuffix(got+rest, "# EOF\n"))
				}
			}
		})
	}
}

func TestAScrapeByProtobufHasWhatProducersCount(t *testing.T) {
	tel := telemetryOf(t, produced{metrics: everyKind()})
	answer := ask(t, tel, "/metrics", http.Header{"Accept": {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"}})
	dec := expfmt.NewDecoder(answer.Body, expfmt.ResponseFormat(answer.Header()))
	var names []string
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			require.ErrorIs(t, err, io.EOF)
			break
		}
		names = append(names, f.GetName())
	}
	require.Subset(t, names, []string{"protean_a_level", "protean_b_retries_total", "protean_c_waiting", "protean_d_duration_seconds"})
}

func TestAnAnswerIsCompressedForWhoAcceptsThat(t *testing.T) {
	tel := telemetryOf(t, produced{metrics: everyKind()})
	plain := ask(t, tel, "/metrics", nil).Body.String()
	for accept, want := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "*": true, "GZIP": true,
		"": false, "br": false, "gzip;q=0": false, "identity": false, "gzip;q=x": false,
	} {
		answer := ask(t, tel, "/metrics", http.Header{"Accept-Encoding": {accept}})
		body := answer.Body.String()
		require.Equal(t, want, answer.Header().Get("Content-Encoding") == "gzip", accept)
		if want {
			z, err := gzip.NewReader(answer.Body)
			require.NoError(t, err)
			raw, err := io.ReadAll(z)
			require.NoError(t, err)
			body = string(raw)
		}
		require.Equal(t, plain, body, accept)
		require.Contains(t, answer.Header().Values("Vary"), "Accept-Encoding")
	}
}

func TestAScrapeMayNameWhatItWants(t *testing.T) {
	tel := telemetryOf(t, produced{metrics: everyKind()})
	body := ask(t, tel, "/metrics?name[]=protean_c_waiting&name[]=protean_a_level", nil).Body.String()
	var families []string
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			families = append(families, strings.Fields(name)[0])
		}
	}
	require.Equal(t, []string{"protean_a_level", "protean_c_waiting"}, families)
}

func TestAProducerThatFailsCostsItsOwnFiguresOnly(t *testing.T) {
	works := produced{metrics: everyKind()[:1]}
	tel := telemetryOf(t, produced{err: errors.New("broken")}, works)
	require.Contains(t, ask(t, tel, "/metrics", nil).Body.String(), "protean_b_retries_total")
}

func TestSeriesThatAreGoneDisappear(t *testing.T) {
	p := &produced{metrics: everyKind()}
	tel := telemetryOf(t, p)
	ask(t, tel, "/metrics", nil)
	p.metrics = slices.Clone(p.metrics)
	p.metrics[0].Data = metricdata.Sum[int64]{IsMonotonic: true, DataPoints: []metricdata.DataPoint[int64]{
		{Attributes: attribute.NewSet(attribute.String("handler", "other")), Value: 5},
	}}
	body := ask(t, tel, "/metrics", nil).Body.String()
	require.Equal(t, 1, strings.Count(body, "\nprotean_b_retries_total"))
	require.Contains(t, body, `protean_b_retries_total{handler="other"} 5`)
}

func TestProducersMayCountTheSameMetric(t *testing.T) {
	one := func(handler string, n int64) produced {
		return produced{metrics: []metricdata.Metrics{{Name: "protean.b.retries", Unit: "{retry}", Data: metricdata.Sum[int64]{
			IsMonotonic: true, DataPoints: []metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(attribute.String("handler", handler)), Value: n}},
		}}}}
	}
	tel := telemetryOf(t, one("a", 1), one("b", 2))
	for range 2 {
		body := ask(t, tel, "/metrics", nil).Body.String()
		require.Equal(t, 1, strings.Count(body, "# TYPE protean_b_retries_total counter"))
		require.Contains(t, body, `protean_b_retries_total{handler="a"} 1`)
		require.Contains(t, body, `protean_b_retries_total{handler="b"} 2`)
	}
}
