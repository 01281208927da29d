package engine_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/gauges"
)

// The program that the README shows: a test of the docs compares the two.
func Example_service() {
	// begin of the README's program
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	file, err := config.Load("domain.toml")
	check(err)                                          // ends the program
	shop, err := domain.Open(ctx, file, adapters.All()) // or domain.Adapters of your own: links only what it names
	check(err)
	defer shop.Close(context.Background())
	check(shop.Register(handler.Events("shop.orders.Invoicer", "shop::order",
		handler.On("Shop.OrderPlaced.v1", func(ctx context.Context, o OrderPlaced, _ *message.Envelope) error {
			return invoice(ctx, o) // nil, an error, handler.Reject(err), handler.RetryAfter(time.Minute)
		}))))

	run, err := shop.Config()
	check(err)
	eng, err := engine.New(run)
	check(err)
	telemetry, err := gauges.NewTelemetry(ctx, gauges.TelemetryConfig{Producers: []sdkmetric.Producer{eng.Producer()}})
	check(err)

	snapshots := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		return collector.New(collector.Config{Sources: shop.Sources()}), nil
	}, nil)
	defer snapshots.Close(context.Background())
	metrics := http.Server{Addr: "127.0.0.1:9000", ReadHeaderTimeout: 5 * time.Second, Handler: gauges.Handler(
		gauges.Config{Snapshots: snapshots, Counters: telemetry.Counters()})}
	go func() { log.Print(metrics.ListenAndServe()) }() // any path is /metrics
	defer metrics.Close()

	// Until ctx ends, and for at most shutdown_timeout_seconds and 14 s more.
	check(eng.Run(ctx)) // it catches no signals and closes nothing that it did not open
	// end of the README's program
}

func invoice(context.Context, OrderPlaced) error { return nil }
