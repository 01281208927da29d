package subscription_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// traced is an event with a sampled trace.
func traced(t *testing.T, id string) string {
	t.Helper()
	e, err := message.Decode([]byte(text(t, id, `{"n": 1}`)))
	require.NoError(t, err)
	e.Metadata.Headers.TraceParent = message.TraceParent{
		TraceID: "0af7651916cd43dd8448eb211c80319c", ParentID: "b7ad6b7169203331", Sampled: true,
	}
	raw, err := e.Encode()
	require.NoError(t, err)
	return string(raw)
}

// Both ways of counting tell the same, series by series, bucket by bucket.
func TestAMeterProviderCountsWhatTheEngineCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.BreakerThreshold = 2, 100
		b.publish("a/1", "b/1", "bad/1", "a/2", "c/1")
		b.publishText(traced(t, "d/1"))
		handle := func(_ context.Context, m *message.Envelope) error {
			time.Sleep(120 * time.Millisecond)
			if m.Metadata.Headers.ID == "bad/1" {
				return errBroken
			}
			return nil
		}
		b.run(c, handle)
		b.pass(time.Minute)
		own := subscription.Metrics([]*subscription.Runner{b.runner})
		require.NoError(t, b.halt())

		other := &bench{t: t, kind: newGroupKind()}
		defer func() { require.NoError(t, other.kind.(groupKind).broker.Close(context.Background())) }()
		reader := sdkmetric.NewManualReader()
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithCardinalityLimit(0))
		other.meter = provider.Meter(subscription.Scope)
		other.publish("a/1", "b/1", "bad/1", "a/2", "c/1")
		other.publishText(traced(t, "d/1"))
		other.run(c, handle)
		other.pass(time.Minute)
		var rm metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &rm))
		require.NoError(t, other.halt())
		require.Len(t, rm.ScopeMetrics, 1)

		foreign := make(map[string]metricdata.Metrics)
		for _, m := range rm.ScopeMetrics[0].Metrics {
			foreign[m.Name] = m
		}
		require.Len(t, own, len(foreign))
		for _, m := range own {
			withoutExtrema(foreign[m.Name])
			metricdatatest.AssertEqual(t, foreign[m.Name], m, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
			requireExemplars(t, foreign[m.Name], m)
		}
	})
}

// withoutExtrema takes away what only the SDK keeps.
func withoutExtrema(m metricdata.Metrics) {
	if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
		for i := range h.DataPoints {
			h.DataPoints[i].Min, h.DataPoints[i].Max = metricdata.Extrema[float64]{}, metricdata.Extrema[float64]{}
		}
	}
}

func requireExemplars(t *testing.T, want, got metricdata.Metrics) {
	t.Helper()
	h, ok := got.Data.(metricdata.Histogram[float64])
	if !ok {
		return
	}
	wanted := want.Data.(metricdata.Histogram[float64]).DataPoints[0].Exemplars
	require.Len(t, h.DataPoints[0].Exemplars, len(wanted))
	require.NotEmpty(t, wanted)
	for i, e := range h.DataPoints[0].Exemplars {
		require.Equal(t, hex.EncodeToString(wanted[i].TraceID), hex.EncodeToString(e.TraceID))
		require.Equal(t, hex.EncodeToString(wanted[i].SpanID), hex.EncodeToString(e.SpanID))
		require.InDelta(t, wanted[i].Value, e.Value, 1e-9)
	}
}

func TestEverySeriesIsThereBeforeTheFirstMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		for _, m := range subscription.Metrics([]*subscription.Runner{b.runner}) {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				require.NotEmpty(t, points(m.Data), m.Name)
				continue
			}
			require.Len(t, h.DataPoints, 1, m.Name)
			require.Zero(t, h.DataPoints[0].Count)
			require.Len(t, h.DataPoints[0].BucketCounts, len(h.DataPoints[0].Bounds)+1)
		}
	})
}

func TestTheFiguresOfSeveralWorkersAddUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency = 4
		for i := range 20 {
			b.publishText(traced(t, fmt.Sprintf("s%d/1", i)))
		}
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "s3/1" {
				return handler.Reject(errBroken)
			}
			time.Sleep(40 * time.Millisecond)
			return nil
		})
		b.pass(time.Minute)
		for _, m := range subscription.Metrics([]*subscription.Runner{b.runner}) {
			h, ok := m.Data.(metricdata.Histogram[float64])
			switch m.Name {
			case "protean.subscription.processing_duration":
				require.True(t, ok)
				p := h.DataPoints[0]
				require.EqualValues(t, 20, p.Count)
				require.InDelta(t, 19*0.04, p.Sum, 1e-9)
				require.Len(t, p.Exemplars, 2, "one a bucket")
			case "protean.subscription.end_to_end":
				require.EqualValues(t, 19, h.DataPoints[0].Count)
			}
		}
	})
}

func TestOnlyCallsThatWereAnsweredHaveADuration(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			switch {
			case m.Metadata.Headers.ID == "down/1" && b.nth(m) == 1:
				return handler.Unavailable(errBroken)
			case m.Metadata.Headers.ID == "other/1":
				return handler.Skip(nil)
			}
			return nil
		})
		b.publish("a/1", "other/1", "down/1")
		b.pass(time.Minute)
		for _, m := range subscription.Metrics([]*subscription.Runner{b.runner}) {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
				require.EqualValues(t, 2, h.DataPoints[0].Count, m.Name)
			}
		}
	})
}

func TestWhatHasEndedShowsNothingWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Unavailable(errBroken) })
		b.publish("a/1")
		b.pass(time.Second)
		require.EqualValues(t, 1, b.count("protean.subscription.target_down", ""))
		require.NoError(t, b.halt())
		require.Zero(t, b.count("protean.subscription.target_down", ""))
		require.Zero(t, b.count("protean.subscription.waiting_retries", ""))
	})
}
