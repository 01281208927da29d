package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

func TestTheDispatchersSectionBeatsThatOfACommandHandler(t *testing.T) {
	t.Parallel()
	c := parse(t, "server.default_subscription_type = \"stream\"\n"+`
[server.subscriptions.Place]
max_retries = 7
messages_per_tick = 7
[server.subscriptions."Commands:shop::order:command"]
max_retries = 8
`)
	set, err := c.Resolve(handler.Commands("shop.orders.Place", "shop::order"))
	require.NoError(t, err)
	require.Equal(t, 8, set.Config().Retry.MaxAttempts)
	require.Equal(t, 10, set.Config().MessagesPerTick)
	set, err = c.Resolve(handler.Commands("shop.orders.Place", "shop::payment"))
	require.NoError(t, err)
	require.Equal(t, 7, set.Config().Retry.MaxAttempts)
}

func TestABrokerSubscriberHasItsOwnDefaults(t *testing.T) {
	t.Parallel()
	c := parse(t, `
[server]
default_subscription_type = "event_store"
default_subscription_profile = "batch"
messages_per_tick = 99
[server.broker_subscription]
max_retries = 7
retry_delay_seconds = 0.25
enable_dlq = false
`)
	r := handler.Subscriber("shop.Legacy", "legacy", nil)
	set, err := c.Resolve(r)
	require.NoError(t, err)
	require.Equal(t, TypeStream, set.Type)
	require.Equal(t, 10, set.Config().MessagesPerTick)
	require.Equal(t, 7, set.Config().Retry.MaxAttempts)
	require.Equal(t, 250*time.Millisecond, set.Config().Retry.Delay)
	require.False(t, set.Config().DeadLetters)

	_, err = c.Resolve(r.With(handler.Options{Type: "event_store"}))
	require.EqualError(t, err, `shop/domain.toml: handler shop.Legacy cannot be subscription_type = "event_store": it reads a stream`)
}

func TestOptionsOfAProgramAreCheckedLikeTheFile(t *testing.T) {
	t.Parallel()
	_, err := parse(t, "").Resolve(handler.Events("shop.H", "s").With(handler.Options{
		Profile: "fsat", Type: "streams", Settings: map[string]any{"max_retrys": 3, "concurrency": 0, "retry_jitter": "0.5"},
	}))
	require.Equal(t, []string{
		`shop/domain.toml: [options of shop.H] concurrency = 0: expected a whole number from 1 to 10000`,
		`shop/domain.toml: [options of shop.H] max_retrys: expected a key of a subscription; did you mean "max_retries"?`,
		`shop/domain.toml: [options of shop.H] profile = "fsat": expected one of batch, debug, fast, production, projection; did you mean "fast"?`,
		`shop/domain.toml: [options of shop.H] subscription_type = "streams": expected one of stream, event_store; did you mean "stream"?`,
	}, lines(err))
}
