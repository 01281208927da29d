package subscription_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// BenchmarkKeys is the time a message takes from the broker to its
// acknowledgement, where all messages are of one aggregate and where each has
// its own.
func BenchmarkKeys(b *testing.B) {
	for _, concurrency := range []int{1, 16} {
		for _, aggregates := range []int{1, 1 << 30} {
			name := fmt.Sprintf("concurrency=%d/hot=%t", concurrency, aggregates == 1)
			b.Run(name, func(b *testing.B) { benchmarkKeys(b, concurrency, aggregates) })
		}
	}
}

func benchmarkKeys(b *testing.B, concurrency, aggregates int) {
	c := config()
	c.Concurrency = concurrency
	benchmark(b, c, func(i int) string {
		return fmt.Sprintf(`{"data": {"n": %d}, "metadata": {"headers": {"id": "e-%d", "type": "Shop.Placed.v1", "stream": "%s-%d"}}}`,
			i, i, stream, i%aggregates)
	})
}

// BenchmarkFormats is the time a message takes of Protean's form, its checksum
// included, and of others' plain JSON with as many bytes.
func BenchmarkFormats(b *testing.B) {
	payload := fmt.Sprintf(`{"order_id": "o-1", "lines": "%s"}`, strings.Repeat("x", 300))
	e, err := message.New(message.KindEvent, message.Headers{ID: "shop::order-1-0.1", Type: "Shop.Placed.v1", Stream: "shop::order-1"}, []byte(payload))
	if err != nil {
		b.Fatal(err)
	}
	envelope, err := e.Encode()
	if err != nil {
		b.Fatal(err)
	}
	object := fmt.Sprintf(`{"order_id": "o-1", "lines": "%s"}`, strings.Repeat("x", len(envelope)-len(payload)+300))
	for name, format := range map[string]handler.Format{"envelope": handler.FormatEnvelope, "object": handler.FormatObject, "fields": handler.FormatFields} {
		text := object
		if format == handler.FormatEnvelope {
			text = string(envelope)
		}
		b.Run(name, func(b *testing.B) {
			c := config()
			c.Format = format
			benchmark(b, c, func(int) string { return text })
		})
	}
}

func benchmark(b *testing.B, c subscription.Config, text func(i int) string) {
	broker := memorybroker.New()
	ctx := context.Background()
	for i := range b.N {
		if _, err := broker.Publish(ctx, stream, message.Field{Name: message.DataField, Value: []byte(text(i))}); err != nil {
			b.Fatal(err)
		}
	}
	c.MessagesPerTick = 500
	var handled atomic.Int64
	running, stop := context.WithCancel(ctx)
	defer stop()
	r, err := subscription.New(c, consumergroup.Over(broker), func(context.Context, *message.Envelope) error {
		if handled.Add(1) == int64(b.N) {
			stop()
		}
		return nil
	}, subscription.Environment{Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.Run(running, ctx); err != nil {
		b.Fatal(err)
	}
}
