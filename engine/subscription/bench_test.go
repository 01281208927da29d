package subscription_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
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
	broker := memorybroker.New()
	ctx := context.Background()
	for i := range b.N {
		text := fmt.Appendf(nil, `{"data": {"n": %d}, "metadata": {"headers": {"id": "e-%d", "type": "Shop.Placed.v1", "stream": "%s-%d"}}}`,
			i, i, stream, i%aggregates)
		if _, err := broker.Publish(ctx, stream, message.Field{Name: message.DataField, Value: text}); err != nil {
			b.Fatal(err)
		}
	}
	c := config()
	c.Concurrency, c.MessagesPerTick = concurrency, 500
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
