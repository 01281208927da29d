package app_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/engine/testserver"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The whole way of a message that fails, and what is then to be seen. The rules
// and dashboards take the names of metrics and labels from this golden file.
func TestGoldenExpositionAfterADeadLetter(t *testing.T) {
	t.Parallel()
	r := afterADeadLetter(t)
	const golden = "testdata/metrics.golden"
	got := mask(r.scrape())
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"), "run `make golden` to rewrite it")
}

func TestPrometheusFindsOnlyTheInheritedNamesOdd(t *testing.T) {
	t.Parallel()
	text := afterADeadLetter(t).scrape()
	promtool := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	promtool.Stdin = strings.NewReader(text)
	out, err := promtool.CombinedOutput()
	var complains *exec.ExitError
	require.ErrorAs(t, err, &complains, "%s", out)
	odd := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		odd[name] = true
	}
	require.Equal(t, map[string]bool{
		"protean_outbox_pending_count": true, "protean_broker_ops_per_sec_per_second": true,
	}, odd, "%s", out)
}

// afterADeadLetter is an app over real servers whose application failed for one
// of ten orders, once all ten are settled.
func afterADeadLetter(t *testing.T) *running {
	t.Helper()
	redis, database := testserver.StartRedis(t), testserver.Postgres(t)
	makeOutbox(t, database.URL)
	shop := newApplication(t, nil)
	shop.answers(shop.unless("bad", answering(http.StatusInternalServerError, "no such customer")))
	r := start(t, app.Options{ConfigPath: write(t, broker(redis.URL), fmt.Sprintf(`
[databases.default]
provider = "postgresql"
database_uri = %q

[observatory]
name = "shop"

[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
max_retries = 2
retry_delay_seconds = 0.01
`, database.URL, stream, shop.URL))})

	client := redis.Client(t)
	orders := placeMany(t, client, "good", 9)
	place(t, client, "bad")
	r.becomes(1, "protean_subscription_dlq_routed_total")
	r.becomes(1, "protean_dlq_depth", "dlq_stream", stream+":dlq")
	r.until("all is settled", func() bool { return settled(t, client, "OrderMailer") })
	r.becomes(0, "protean_subscription_pending_messages")

	require.True(t, shop.has(orders...))
	letters := deadLetters(t, client)
	require.Len(t, letters, 1)
	require.Equal(t, "bad", letters[0].Data.OrderID)
	require.Equal(t, 2, letters[0].DLQ.RetryCount)
	require.Contains(t, letters[0].DLQ.FailureReason, "no such customer")
	r.becomes(9, "protean_subscription_messages_processed_total", "status", "ok")
	r.becomes(2, "protean_subscription_messages_processed_total", "status", "error")
	r.becomes(1, "protean_subscription_retries_total")
	r.becomes(1, "protean_outbox_pending_count")
	r.becomes(1, "protean_engine_active_subscriptions")
	return r
}

// makeOutbox makes the table that Protean keeps its outbox in, with one row
// that waits to be published.
func makeOutbox(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	schema, err := os.ReadFile("testdata/outbox.sql")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), string(schema))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO outbox
		(id, message_id, stream_name, type, data, metadata_, status, retry_count, max_retries, priority, target_broker, created_at, _version)
		VALUES ('1', 'm1', 'shop::order-7', 'Shop.OrderPlaced.v1', '{}', '', 'pending', 0, 3, 0, 'default', now(), 0)`)
	require.NoError(t, err)
}

var (
	value = regexp.MustCompile(`(?m)^([^#].*[ }])\S+$`)
	build = regexp.MustCompile(`\b(goversion|revision|version)="[^"]*"`)
)

// mask hides what differs from run to run: all values, and which build it is.
func mask(text string) string {
	return build.ReplaceAllString(value.ReplaceAllString(text, "${1}*"), `$1="*"`)
}
