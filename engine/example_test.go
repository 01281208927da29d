package engine_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/gauges"
)

type OrderPlaced struct {
	OrderID string `json:"order_id"`
}

// A service embeds the engine and serves /metrics beside it. It links the
// adapters that it names: here the memory broker alone. With a file and all
// adapters it would say config.Load("domain.toml") and adapters.All().
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	broker := memorybroker.New()
	file, err := config.Parse("domain.toml", []byte(`
		[observatory]
		name = "shop"
		[server]
		default_subscription_type = "stream"
		health.enabled = false`))
	check(err)
	shop, err := domain.Open(ctx, file, domain.Adapters{
		Brokers: map[string]func(domain.BrokerSpec) (engine.Broker, error){
			"inline": func(domain.BrokerSpec) (engine.Broker, error) { return broker, nil },
		},
	})
	check(err)
	defer shop.Close(context.Background())

	check(shop.Register(handler.Events("shop.orders.Mailer", "shop::order",
		handler.On("Shop.OrderPlaced.v1", func(_ context.Context, o OrderPlaced, m *message.Envelope) error {
			fmt.Println("mail for", o.OrderID, "from", m.Source.Stream)
			stop() // a real service runs until it is told to stop
			return nil
		}))))

	run, err := shop.Config()
	check(err)
	eng, err := engine.New(run)
	check(err)
	telemetry, err := gauges.NewTelemetry(ctx, gauges.TelemetryConfig{Producers: []sdkmetric.Producer{eng.Producer()}})
	check(err)

	look := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		return collector.New(collector.Config{Sources: shop.Sources()}), nil
	}, nil)
	defer look.Close(context.Background())
	metrics := httptest.NewServer(gauges.Handler(gauges.Config{Snapshots: look, Counters: telemetry.Counters()}))
	defer metrics.Close()

	place(broker, "o-1")
	check(eng.Run(ctx))
	response, err := http.Get(metrics.URL)
	check(err)
	fmt.Println("metrics:", response.Status)
	response.Body.Close()
	// Output:
	// mail for o-1 from shop::order
	// metrics: 200 OK
}

// place publishes an event as any producer may.
func place(b *memorybroker.Broker, id string) {
	e, err := message.New(message.KindEvent, message.Headers{
		ID: id, Type: "Shop.OrderPlaced.v1", Stream: "shop::order-" + id,
	}, fmt.Appendf(nil, `{"order_id": %q}`, id))
	check(err)
	text, err := e.Encode()
	check(err)
	_, err = b.Publish(context.Background(), "shop::order", message.Field{Name: message.DataField, Value: text})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
