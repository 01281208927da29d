package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/gauges"
)

// BenchmarkScrape is a scrape of what a process of a thousand subscriptions
// counts, its histograms included, without the infrastructure.
func BenchmarkScrape(b *testing.B) {
	broker := memorybroker.New()
	config := engine.Config{Domain: "shop", Health: engine.HealthConfig{Disabled: true}}
	for i := range 1000 {
		config.Subscriptions = append(config.Subscriptions, engine.Subscription{
			Config: subscription.Config{Domain: "shop", Handler: fmt.Sprintf("shop.orders.Handler%d", i), Stream: fmt.Sprintf("shop::stream%d", i)},
			Func:   func(context.Context, *message.Envelope) error { return nil },
			Source: consumergroup.Over(broker),
		})
	}
	eng, err := engine.New(config)
	if err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	telemetry, err := gauges.NewTelemetry(b.Context(), gauges.TelemetryConfig{Producers: []sdkmetric.Producer{eng.Producer()}, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	nothing := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		return collector.New(collector.Config{Logger: quiet}), nil
	}, quiet)
	page := gauges.Handler(gauges.Config{Snapshots: nothing, Counters: telemetry.Counters(), Logger: quiet})
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		answer := &discarding{header: make(http.Header)}
		page.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		size = answer.size
	}
	b.ReportMetric(float64(size), "bytes")
}

// discarding is an answer that is counted and dropped.
type discarding struct {
	header http.Header
	size   int
}

func (d *discarding) Header() http.Header { return d.header }
func (d *discarding) WriteHeader(int)     {}
func (d *discarding) Write(b []byte) (int, error) {
	d.size += len(b)
	return len(b), nil
}
