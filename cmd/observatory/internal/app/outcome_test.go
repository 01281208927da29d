package app_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// shopping is an app whose orders go to an application.
type shopping struct {
	*running
	shop   *application
	client *redis.Client
}

// openShop runs a handler OrderMailer of at most two calls.
func openShop(t *testing.T, more ...string) *shopping {
	t.Helper()
	redis := testserver.StartRedis(t)
	shop := newApplication(t, nil)
	parts := append([]string{broker(redis.URL), fmt.Sprintf(`
[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
max_retries = 2
retry_delay_seconds = 0.01
`, stream, shop.URL)}, more...)
	return &shopping{running: start(t, app.Options{ConfigPath: shoptest.Configure(t, parts...)}), shop: shop, client: redis.Client(t)}
}

func (s *shopping) settled() bool { return settled(s.t, s.client, "OrderMailer") }

func TestAnOrderThatTheApplicationFailsIsTriedAgainAndThenDeadLettered(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.shop.answers(s.shop.unless("bad", answering(http.StatusInternalServerError, "no such customer")))
	entry := shoptest.Place(t, s.client, "bad")
	orders := placeMany(t, s.client, "good", 20)

	s.until("all is settled", s.settled)
	require.True(t, s.shop.has(orders...))
	require.Equal(t, 2, s.shop.calls("bad"))
	dead := deadLetters(t, s.client)
	require.Len(t, dead, 1)
	require.Equal(t, entry, dead[0].DLQ.OriginalID)
	require.Equal(t, 2, dead[0].DLQ.RetryCount)
	require.Contains(t, dead[0].DLQ.FailureReason, "answered 500 Internal Server Error: no such customer")
}

func TestAnOrderThatTheApplicationRefusesIsDeadLetteredAtOnceWithItsWords(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.shop.answers(s.shop.unless("bad", answering(http.StatusUnprocessableEntity, "total must be positive")))
	shoptest.Place(t, s.client, "bad")
	orders := placeMany(t, s.client, "good", 20)

	s.until("all is settled", s.settled)
	require.True(t, s.shop.has(orders...))
	require.Equal(t, 1, s.shop.calls("bad"))
	dead := deadLetters(t, s.client)
	require.Len(t, dead, 1)
	require.Equal(t, 1, dead[0].DLQ.RetryCount)
	require.Contains(t, dead[0].DLQ.FailureReason, "answered 422 Unprocessable Entity: total must be positive")
	s.becomes(0, "protean_subscription_retries_total")
}

func TestAnOrderThatIsPostponedIsTriedLaterAtNoCost(t *testing.T) {
	t.Parallel()
	s := openShop(t, "order = \"none\"\n")
	const more = 3 // than it has calls
	s.shop.answers(s.shop.unless("early", func(w http.ResponseWriter, _ *http.Request) {
		if s.shop.calls("early") > more {
			s.shop.accept("early")
			return
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	shoptest.Place(t, s.client, "early")
	orders := placeMany(t, s.client, "good", 20)

	s.until("the others go on", func() bool { return s.shop.has(orders...) })
	require.False(t, s.shop.has("early"))
	s.until("all is settled", s.settled)
	require.True(t, s.shop.has("early"))
	require.Equal(t, more+1, s.shop.calls("early"))
	require.Empty(t, deadLetters(t, s.client))
	s.becomes(0, "protean_subscription_messages_processed_total", "status", "error")
	s.becomes(21, "protean_subscription_messages_processed_total", "status", "ok")
	s.becomes(0, "protean_subscription_retries_total")
}

// An application that answers 404 is taken for one that is not there, until it
// turns out that it answers others: then the order is at fault.
func TestAnOrderThatAloneIsNotFoundHoldsUpTheOthersForAMomentOnly(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.shop.answers(s.shop.unless("lost", answering(http.StatusNotFound, "no such order")))
	shoptest.Place(t, s.client, "lost")
	s.becomes(1, "protean_subscription_target_down")

	var orders []string
	s.until("it is dead-lettered", func() bool {
		if down, _ := s.figure("protean_subscription_target_down"); down == 1 && s.shop.has(orders...) {
			orders = append(orders, placeMany(t, s.client, fmt.Sprint("good-", len(orders)), 1)...)
		}
		return len(deadLetters(t, s.client)) == 1
	})
	require.NotEmpty(t, orders)
	s.until("the others are delivered", func() bool { return s.shop.has(orders...) })
	s.until("all is settled", s.settled)
	s.becomes(0, "protean_subscription_target_down")
	dead := deadLetters(t, s.client)
	require.Len(t, dead, 1)
	require.Equal(t, "lost", dead[0].Data.OrderID)
	require.Equal(t, 2, dead[0].DLQ.RetryCount, "attempts while the target counts as down are not counted")
	require.Contains(t, dead[0].DLQ.FailureReason, "404")
}
