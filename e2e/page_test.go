package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestAFailingHandlerPagesItsNameAndItsStreamAndEveryPanelHasAnAnswer(t *testing.T) {
	redisServer := testserver.StartRedis(t)
	database := testserver.Postgres(t)
	database.MakeOutbox(t, 1)
	address, pages := webhook(t)
	observatory, metrics := serve(t, redisServer.URL, database.URL, application(t))
	prom := startPrometheus(t, metrics, startAlertmanager(t, address))
	broker := redisServer.Client(t)

	// Prometheus knows the counter before anything fails: only so does it see
	// the first dead letter.
	deadLetters := fmt.Sprintf("protean_subscription_dlq_routed_total{handler=%q, reason=\"exhausted\", stream=%q}", handler, stream)
	eventually(t, "Prometheus has "+deadLetters+" at 0", func() bool { return prom.is(t, deadLetters, 0) })

	placeMany(t, broker, 20, "early")
	place(t, broker, "poison")

	got := pageOf(t, pages, "ObservatoryDeadLettersArriving")
	require.Equal(t, "firing", got.Status)
	require.Equal(t, handler, got.GroupLabels["handler"])
	require.Equal(t, stream, got.GroupLabels["stream"])
	require.Len(t, got.Alerts, 1)
	alert := got.Alerts[0]
	require.Equal(t, "critical", alert.Labels["severity"])
	require.Equal(t, domain, alert.Labels["domain"])
	require.Contains(t, alert.Annotations["summary"], handler)
	require.Contains(t, alert.Annotations["summary"], stream)
	require.Regexp(t, `^About [12] message`, alert.Annotations["description"], "increase() extrapolates")
	require.Contains(t, alert.Annotations["runbook_url"], "runbook.md#")

	requireFigures(t, prom)
	requireGolden(t, metrics)

	// Unlike a counter, a histogram is not there before its first value, so that
	// its rate begins with what comes after a scrape.
	placeMany(t, broker, 20, "late")
	requireEveryPanelAnswered(t, prom)

	// The figures of the notification are true.
	letters, err := broker.XRange(t.Context(), stream+":dlq", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Contains(t, letters[0].Values["data"], "poison")
	pending, err := broker.XPending(t.Context(), stream, handler).Result()
	require.NoError(t, err)
	require.Zero(t, pending.Count)

	require.NoError(t, observatory.stop(t), "the observatory ends with 0 on SIGTERM")
}

// requireFigures compares what Prometheus has with what was done.
func requireFigures(t *testing.T, prom prometheus) {
	t.Helper()
	of := fmt.Sprintf("{domain=%q, handler=%q, group=%q, stream=%q", domain, handler, handler, stream)
	for expr, want := range map[string]float64{
		"protean_subscription_messages_processed_total" + of + `, status="ok"}`:           20,
		"protean_subscription_messages_processed_total" + of + `, status="error"}`:        3,
		"protean_subscription_messages_processed_total" + of + `, status="skipped"}`:      0,
		"protean_subscription_retries_total" + of + "}":                                   2,
		"protean_subscription_dlq_routed_total" + of + `, reason="exhausted"}`:            1,
		"protean_subscription_consumer_lag" + of + `, type="stream"}`:                     0,
		"protean_subscription_pending_messages" + of + `, type="stream"}`:                 0,
		"protean_subscription_lag_seconds" + of + `, type="stream"}`:                      0,
		"protean_subscription_dlq_depth" + of + `, type="stream"}`:                        1,
		fmt.Sprintf("protean_dlq_depth{domain=%q, dlq_stream=%q}", domain, stream+":dlq"): 1,
		fmt.Sprintf("protean_engine_up{domain=%q}", domain):                               1,
		fmt.Sprintf("protean_outbox_pending_count{domain=%q}", domain):                    1,
		`protean_broker_up{broker_name="default"}`:                                        1,
		`sum(protean_collector_success) / count(protean_collector_success)`:               1,
	} {
		eventually(t, fmt.Sprintf("%s is %v", expr, want), func() bool { return prom.is(t, expr, want) })
	}
}
