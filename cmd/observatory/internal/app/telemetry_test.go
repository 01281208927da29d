package app_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
	"github.com/observatory-go/observatory/gauges/otlptest"
)

func TestWhatTheFileAsksForIsPushed(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
	receiver := otlptest.Receive(t)
	redis := testserver.StartRedis(t)
	shop := newApplication(t, nil)
	shop.answers(shop.unless("bad", answering(http.StatusUnprocessableEntity, "no")))
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, broker(redis.URL), fmt.Sprintf(`
[telemetry]
enabled = true
endpoint = %q
service_name = "shop-worker"
[telemetry.resource_attributes]
team = "orders"

[observatory]
name = "shop"

[observatory.handlers.OrderMailer]
stream = %q
deliver = %q
`, receiver.Endpoint, stream, shop.URL))})
	client := redis.Client(t)
	placeMany(t, client, "good", 4)
	shoptest.Place(t, client, "bad")

	handler := []string{"domain", "shop", "handler", "OrderMailer", "group", "OrderMailer", "stream", stream}
	is := func(want float64, metric string, labels ...string) {
		r.until(fmt.Sprintf("%s%q is pushed as %v", metric, labels, want), func() bool {
			got, known := figure(receiver, metric, labels...)
			return known && got == want
		})
	}
	is(4, "protean.subscription.messages_processed", append(handler, "status", "ok")...)
	is(0, "protean.subscription.messages_processed", append(handler, "status", "skipped")...)
	is(1, "protean.subscription.dlq_routed", append(handler, "reason", "rejected")...)
	is(5, "protean.subscription.processing_duration", handler...)
	is(1, "protean.engine.up", "domain", "shop")
	is(1, "protean.dlq.depth", "dlq_stream", stream+":dlq")
	is(0, "protean.subscription.consumer_lag", append(handler, "type", "stream")...)
	is(5, "protean.subscription.entries_read", append(handler, "type", "stream")...)
	is(1, "protean_broker_up", "broker_name", "default")
	require.Equal(t, "shop-worker", receiver.Resource()["service.name"])
	require.Equal(t, "orders", receiver.Resource()["team"])

	shoptest.Place(t, client, "last")
	r.until("it is delivered", func() bool { return shop.has("last") })
	require.NoError(t, r.halt())
	got, _ := figure(receiver, "protean.subscription.messages_processed", append(handler, "status", "ok")...)
	require.InDelta(t, 5, got, 0, "what was counted last is pushed at the end")
}

func TestNothingIsPushedUnlessTheFileAsksForIt(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
	receiver := otlptest.Receive(t)
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile, fmt.Sprintf("[telemetry]\nendpoint = %q\n", receiver.Endpoint))})
	r.becomes(1, "protean_engine_up")
	require.NoError(t, r.halt(), "which would push a last time")
	_, known := figure(receiver, "protean.engine.uptime_seconds")
	require.False(t, known)
}

// figure is the newest value of the first series with these labels.
func figure(from *otlptest.Receiver, metric string, labels ...string) (value float64, known bool) {
	for _, p := range from.Metrics()[metric] {
		if matches(p.Labels, labels) {
			return p.Value, true
		}
	}
	return 0, false
}
