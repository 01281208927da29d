package gauges_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/gauges"
)

// queue is a source of a program's own.
type queue struct{}

func (queue) Name() string { return "broker:default" }

func (queue) Collect(context.Context) (collector.Figures, error) {
	return collector.Figures{Queues: []collector.Queue{
		{Domain: "shop", Stream: "shop::order:dlq", Depth: collector.Known(2)},
	}}, nil
}

// A collector that is built at the first scrape, and one page for its gauges and
// the program's own counters.
func Example() {
	ctx := context.Background()
	infrastructure := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		return collector.New(collector.Config{Sources: []collector.Source{queue{}}}), nil
	}, nil)
	telemetry, err := gauges.NewTelemetry(ctx, gauges.TelemetryConfig{ServiceName: "shop", Snapshots: infrastructure})
	if err != nil {
		fmt.Println(err)
		return
	}
	retries, _ := telemetry.MeterProvider().Meter("protean").Int64Counter("protean.subscription.retries")
	retries.Add(ctx, 1)

	page := gauges.Handler(gauges.Config{Snapshots: infrastructure, Counters: telemetry.Counters()})
	answer := httptest.NewRecorder()
	page.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "protean_dlq") || strings.HasPrefix(line, "protean_sub") {
			fmt.Println(line)
		}
	}

	_ = telemetry.Shutdown(ctx)
	_ = infrastructure.Close(ctx)
	// Output:
	// protean_dlq_depth{dlq_stream="shop::order:dlq",domain="shop"} 2
	// protean_subscription_retries_total 1
}
