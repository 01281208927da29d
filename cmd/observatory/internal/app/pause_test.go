package app_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// By one process, of another that runs the handler, and after its restart.
func TestAHandlerThatIsPausedHandlesNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	redis := testserver.StartRedis(t)
	shop := newApplication(t, nil)
	options := app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[observatory]
name = "shop"

[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
`, stream, shop.URL))}
	operator, err := app.OpenOperator(t.Context(), options)
	require.NoError(t, err)
	defer func() { require.NoError(t, operator.Close()) }()

	r := start(t, options)
	r.becomes(0, "protean_subscription_gate_closed", "reason", "paused")
	_, err = operator.Pause(t.Context(), "OrderMailer", "ann@ops", "moving")
	require.NoError(t, err)
	r.becomes(1, "protean_subscription_gate_closed", "reason", "paused")
	r.becomes(1, "protean_subscription_paused")
	client := redis.Client(t)
	orders := placeMany(t, client, "order", 20)
	r.becomes(20, "protean_subscription_consumer_lag")
	r.becomes(1, "protean_subscription_health", "state", "paused")
	require.False(t, shop.has(orders[0]))

	r.stop()
	r = start(t, options)
	r.becomes(1, "protean_subscription_gate_closed", "reason", "paused")
	require.False(t, shop.has(orders[0]))
	_, err = operator.Resume(t.Context(), "OrderMailer", "ben@ops", "moved")
	require.NoError(t, err)
	r.until("all is handled", func() bool { return shop.has(orders...) })
	r.becomes(0, "protean_subscription_gate_closed", "reason", "paused")
	r.becomes(0, "protean_subscription_paused")
}
