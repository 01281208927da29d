package engine_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// A subscriber reads a stream that another system writes, as plain JSON in the field
// `data`. The file says nothing of a broker: `default` is then in the memory of the
// process, where the program publishes itself.
func Example_subscriber() {
	ctx, stop := context.WithCancel(context.Background())
	broker := memorybroker.New()
	file, err := config.Parse("domain.toml", []byte(`
		[server]
		health.enabled = false
		[server.broker_subscription]
		max_retries = 5`))
	check(err)
	shop, err := domain.Open(ctx, file, domain.Adapters{
		Brokers: map[string]func(domain.BrokerSpec) (engine.Broker, error){
			"inline": func(domain.BrokerSpec) (engine.Broker, error) { return broker, nil },
		},
	})
	check(err)
	defer shop.Close(context.Background())

	check(shop.Register(handler.Subscriber("shop.billing.Payments", "payments", func(_ context.Context, m *message.Envelope) error {
		var payment struct {
			Order  string  `json:"order"`
			Amount float64 `json:"amount"`
		}
		if err := json.Unmarshal(m.Data, &payment); err != nil {
			return handler.Reject(err) // no attempt will mend it: to the dead-letter queue
		}
		fmt.Printf("%s paid %.2f\n", payment.Order, payment.Amount)
		stop() // a real service runs until it is told to stop
		return nil
	})))
	run, err := shop.Config()
	check(err)
	eng, err := engine.New(run)
	check(err)

	_, err = broker.Publish(ctx, "payments", message.Field{Name: message.DataField, Value: []byte(`{"order": "o-1", "amount": 12.5}`)})
	check(err)
	check(eng.Run(ctx))
	// Output:
	// o-1 paid 12.50
}
