package engine_test

import (
	"context"
	"fmt"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// A program without a server opens an event store in memory, appends to it and
// has a handler read its category. The store is gone with the process.
func Example_eventStore() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := memorystore.New()
	file, err := config.Parse("domain.toml", []byte(`
		[observatory]
		name = "shop"
		[event_store]
		provider = "memory"
		[server]
		default_subscription_type = "event_store"
		health.enabled = false`))
	check(err)
	shop, err := domain.Open(ctx, file, domain.Adapters{
		EventStores: map[string]func(domain.EventStoreSpec) (engine.EventStore, error){
			"memory": func(domain.EventStoreSpec) (engine.EventStore, error) { return store, nil },
		},
	})
	check(err)
	defer shop.Close(context.Background())

	check(shop.Register(handler.Events("shop.orders.Report", "shop::order",
		handler.On("Shop.OrderPlaced.v1", func(_ context.Context, o OrderPlaced, m *message.Envelope) error {
			fmt.Println("order", o.OrderID, "of", m.Metadata.Headers.Stream)
			stop() // a real program runs until it is told to stop
			return nil
		}))))

	placed, err := message.New(message.KindEvent, message.Headers{
		ID: "shop::order-o-1-0", Type: "Shop.OrderPlaced.v1", Stream: "shop::order-o-1",
	}, []byte(`{"order_id": "o-1"}`))
	check(err)
	position, err := store.Append(ctx, placed)
	check(err)
	fmt.Println("appended at position", position, "of its stream")

	run, err := shop.Config()
	check(err)
	eng, err := engine.New(run)
	check(err)
	check(eng.Run(ctx))
	// Output:
	// appended at position 0 of its stream
	// order o-1 of shop::order-o-1
}
