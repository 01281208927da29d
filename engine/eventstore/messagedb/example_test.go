package messagedb_test

import (
	"context"
	"fmt"
	"os"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// A program without a file follows a category of Message-DB, from where Python or an
// earlier run was. With a file, [event_store] opens the store, and a handler with
// subscription_type = "event_store" reads it.
func Example() {
	store, err := messagedb.New(messagedb.Config{
		URI: func() (string, error) { return os.Getenv("MESSAGE_DB_URL"), nil },
	})
	if err != nil {
		panic(err)
	}
	defer store.Close(context.Background())
	eng, err := engine.New(engine.Config{
		Domain: "shop",
		Subscriptions: []engine.Subscription{{
			Config: subscription.Config{Domain: "shop", Handler: "shop.orders.Report", Stream: "shop::order"},
			Func: func(_ context.Context, m *message.Envelope) error {
				fmt.Println(m.Metadata.Headers.Type, "of", m.Metadata.Headers.Stream)
				return nil
			},
			Source: catchup.Over(store),
		}},
	})
	if err != nil {
		panic(err)
	}
	if err := eng.Run(context.Background()); err != nil { // until a signal, in a real program
		panic(err)
	}
}
