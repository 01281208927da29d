package operate_test

import (
	"context"
	"fmt"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/operate"
)

// A program pauses one of its handlers in all processes that run it. Brokers and
// event stores keep the pause.
func ExampleOperator_Pause() {
	broker := memorybroker.New() // or redisbroker.New, for all processes
	catalog := func() ([]operate.Subscription, error) {
		return []operate.Subscription{{Handler: "shop.OrderMailer", Stream: "shop::order", Group: "shop.OrderMailer", Type: "stream", Pauses: broker}}, nil
	}
	operator := operate.New(catalog, nil)

	changes, err := operator.Pause(context.Background(), "OrderMailer", "ann@ops", "the mail server moves")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range changes {
		fmt.Println(c.Handler, "paused:", c.State.Paused, "by", c.State.By, "because", c.State.Reason, c.Err)
	}
	changes, err = operator.Resume(context.Background(), "OrderMailer", "ann@ops", "")
	fmt.Println("resumed:", changes[0].Changed, err)
	// Output:
	// shop.OrderMailer paused: true by ann@ops because the mail server moves <nil>
	// resumed: true <nil>
}
