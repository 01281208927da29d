package app_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The whole way of a message that fails, and what is exposed then. The rules and
// dashboards take the names of metrics and labels from this golden file.
func TestGoldenExpositionAfterADeadLetter(t *testing.T) {
	t.Parallel()
	promtest.RequireGolden(t, "testdata/metrics.golden", mask(afterADeadLetter(t).scrape()))
}

func TestPromtoolFindsNothingButTheInheritedNames(t *testing.T) {
	t.Parallel()
	promtest.RequireLinted(t, afterADeadLetter(t).scrape())
}

// afterADeadLetter is an app over real servers whose application failed for one
// of ten orders, once all ten are settled.
func afterADeadLetter(t *testing.T) *running {
	t.Helper()
	redis, database := testserver.StartRedis(t), testserver.Postgres(t)
	database.MakeOutbox(t, 1)
	shop := newApplication(t, nil)
	shop.answers(shop.unless("bad", answering(http.StatusInternalServerError, "no such customer")))
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[databases.default]
provider = "postgresql"
database_uri = %q

[observatory]
name = "shop"

[server.dlq]
enabled = true

[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
max_retries = 2
retry_delay_seconds = 0.01
circuit_breaker_threshold = 10

[event_store]
provider = "message_db"
database_uri = %q

[observatory.handlers.OrderReport]
stream = "shop::order"
subscription_type = "event_store"
deliver = "log:"
`, database.URL, stream, shop.URL, testserver.MessageDB(t).URL))})

	client := redis.Client(t)
	orders := placeMany(t, client, "good", 9)
	shoptest.Place(t, client, "bad")
	r.becomes(1, "protean_subscription_dlq_routed_total", "handler", "OrderMailer", "reason", "exhausted")
	r.becomes(1, "protean_dlq_depth", "dlq_stream", stream+":dlq")
	r.until("all is settled", func() bool { return settled(t, client, "OrderMailer") })
	r.becomes(0, "protean_subscription_pending_messages", "handler", "OrderMailer")

	require.True(t, shop.has(orders...))
	dead := deadLetters(t, client)
	require.Len(t, dead, 1)
	require.Equal(t, "bad", dead[0].Data.OrderID)
	require.Equal(t, 2, dead[0].DLQ.RetryCount)
	require.Contains(t, dead[0].DLQ.FailureReason, "no such customer")
	r.becomes(9, "protean_subscription_messages_processed_total", "handler", "OrderMailer", "status", "ok")
	r.becomes(2, "protean_subscription_messages_processed_total", "handler", "OrderMailer", "status", "error")
	r.becomes(1, "protean_subscription_retries_total", "handler", "OrderMailer")
	r.becomes(1, "protean_outbox_pending_count")
	r.becomes(2, "protean_engine_active_subscriptions")
	r.becomes(0, "protean_subscription_position_ahead", "handler", "OrderReport")
	r.becomes(1, "protean_eventstore_head") // the row of who owns the subscription
	return r
}

var (
	value = regexp.MustCompile(`(?m)^([^#].*[ }])\S+$`)
	build = regexp.MustCompile(`\b(goversion|revision|version)="[^"]*"`)
	// process is what the runtime and the operating system tell of any process.
	process = regexp.MustCompile(`(?m)^(# \w+ )?(go|process)_.*\n`)
)

// mask hides what differs from run to run, all values and which build it is, and
// from machine to machine.
func mask(text string) string {
	text = process.ReplaceAllString(text, "")
	return build.ReplaceAllString(value.ReplaceAllString(text, "${1}*"), `$1="*"`)
}
