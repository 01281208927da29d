package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// What alerts/runbook.md tells an operator of each of these is what is found.

// mailing starts a shop on a Redis of its own, whose application answers so.
func mailing(t *testing.T, answer http.HandlerFunc) (*running, *testserver.RedisProcess) {
	redis := testserver.StartRedis(t)
	shop := newApplication(t, answer)
	return start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[server]
default_subscription_type = "stream"
[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
claim_idle_seconds = 0.3
`, stream, shop.URL))}), redis
}

func (r *running) isReady(want int) {
	r.t.Helper()
	r.until(fmt.Sprintf("/readyz answers %d", want), func() bool {
		status, _ := shoptest.Get(r.t, "http://"+r.health+"/readyz")
		return status == want
	})
}

func TestADeadLetterThatCannotBeWrittenIsCountedAndItsCauseLogged(t *testing.T) {
	t.Parallel()
	r, redis := mailing(t, answering(http.StatusUnprocessableEntity, "no such order"))
	client := redis.Client(t)
	require.NoError(t, client.Set(t.Context(), stream+":dlq", "another program's", 0).Err())
	shoptest.Place(t, client, "o-1")

	r.becomes(1, "protean_subscription_dead_letters_waiting", "handler", "OrderMailer")
	r.until("the log has the cause", func() bool {
		text := r.printed.String()
		return strings.Contains(text, "cannot write dead letters") && strings.Contains(text, "holds a string")
	})
	r.isReady(http.StatusOK)
	require.NoError(t, client.Rename(t.Context(), stream+":dlq", "moved").Err())
	r.becomes(0, "protean_subscription_dead_letters_waiting", "handler", "OrderMailer")
	require.Len(t, deadLetters(t, client), 1)
	require.Contains(t, r.printed.String(), "dead letters are written again")
}

func TestABrokerThatRefusesToBeConsumedFromIsNotUp(t *testing.T) {
	t.Parallel()
	r, redis := mailing(t, nil)
	client := redis.Client(t)
	r.becomes(1, "protean_broker_up")
	r.isReady(http.StatusOK)

	require.NoError(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	r.becomes(0, "protean_broker_up")
	r.isReady(http.StatusServiceUnavailable)
	r.until("the log has the reason", func() bool {
		text := r.printed.String()
		return strings.Contains(text, "the server refuses that entries are consumed") && strings.Contains(text, "NOREPLICAS")
	})
	require.NoError(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err())
	r.becomes(1, "protean_broker_up")
	r.isReady(http.StatusOK)
}

func TestAnEntryThatAnotherConsumerTakesIsCountedAsLost(t *testing.T) {
	t.Parallel()
	begun, over := make(chan struct{}, 10), make(chan struct{})
	t.Cleanup(func() { close(over) })
	r, redis := mailing(t, func(_ http.ResponseWriter, q *http.Request) {
		begun <- struct{}{}
		select {
		case <-q.Context().Done():
		case <-over:
		}
	})
	client := redis.Client(t)
	entry := shoptest.Place(t, client, "o-1")
	next(r, begun)
	require.NoError(t, client.Do(t.Context(), "XCLAIM", stream, "OrderMailer", "thief", 0, entry, "JUSTID").Err())
	r.becomes(1, "protean_subscription_entries_lost_total", "handler", "OrderMailer")
	require.Contains(t, r.printed.String(), "entry is not this consumer's any more")
}
