package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
	"github.com/observatory-go/observatory/gauges"
)

// Series of the handler, as lines of Prometheus' text.
var (
	shared  = fmt.Sprintf("{domain=%q,group=%q,handler=%q,stream=%q,type=%q}", domain, handler, handler, stream, "stream")
	handled = fmt.Sprintf("protean_subscription_messages_processed_total{domain=%q,group=%q,handler=%q,status=%q,stream=%q,subscription=%q}",
		domain, handler, handler, "ok", stream, handler)
	routed = fmt.Sprintf("protean_subscription_dlq_routed_total{domain=%q,group=%q,handler=%q,reason=%q,stream=%q,subscription=%q}",
		domain, handler, handler, "exhausted", stream, handler)
	queued = fmt.Sprintf("protean_dlq_depth{dlq_stream=%q,domain=%q}", stream+":dlq", domain)
)

// push is the section of a file that pushes to an address.
func push(address string) string {
	return fmt.Sprintf("[telemetry]\nenabled = true\nendpoint = %q\n", "http://"+address)
}

func TestTheCollectorGetsBothTheCountersAndTheGaugesThatAScrapeShows(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
	redisServer, database := testserver.StartRedis(t), testserver.Postgres(t)
	database.MakeOutbox(t, 1)
	address := testserver.FreeAddress(t)
	collector := receive(t, address)
	observatory, metrics := serve(t, redisServer.URL, database.URL, application(t), push(address))

	broker := redisServer.Client(t)
	placeMany(t, broker, 20, "good")
	place(t, broker, "poison")
	settled := map[string]float64{
		handled: 20,
		routed:  1,
		queued:  1,
		"protean_subscription_consumer_lag" + shared:                                  0,
		"protean_subscription_pending_messages" + shared:                              0,
		"protean_subscription_dlq_depth" + shared:                                     1,
		"protean_subscription_status" + shared:                                        1,
		fmt.Sprintf("protean_broker_up{broker_name=%q,domain=%q}", "default", domain): 1,
		fmt.Sprintf("protean_outbox_pending_count{domain=%q}", domain):                1,
		fmt.Sprintf("protean_engine_up{domain=%q}", domain):                           1,
	}
	collector.until(t, settled)

	// Nothing happens any more, so that both exports are of one moment.
	scraped, pushed := scrape(t, metrics), collector.next(t)
	require.Equal(t, still(scraped), still(pushed.series))
	require.Equal(t, domain, pushed.resource["service.name"])
	require.Subset(t, pushed.names, []string{
		"protean.engine.up", "protean.engine.uptime_seconds", "protean.engine.active_subscriptions",
		"protean.subscription.messages_processed", "protean.subscription.retries",
		"protean.subscription.dlq_routed", "protean.subscription.processing_duration",
	})
	for _, g := range gauges.Table() {
		if !slices.Contains(elsewhere, g.Exposed) {
			require.Contains(t, pushed.names, g.Name)
		}
	}
	require.NoError(t, observatory.stop(t))
}

func TestACollectorThatGoesAwayAndComesBackHoldsNothingUp(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2000") // the sooner is an outage known
	redisServer, database := testserver.StartRedis(t), testserver.Postgres(t)
	address := testserver.FreeAddress(t)
	collector := receive(t, address)
	observatory, metrics := serve(t, redisServer.URL, database.URL, application(t), push(address))
	collector.next(t)

	collector.stop(t)
	eventually(t, "the log reports the outage", func() bool { return observatory.outages() == 1 })
	placeMany(t, redisServer.Client(t), 5, "meanwhile")
	eventually(t, "messages are handled meanwhile", func() bool { return scrape(t, metrics)[handled] == 5 })

	// It is back, but takes nothing yet: one outage, however many the failures.
	collector.refuse.Store(true)
	collector.start(t, address)
	for range 3 {
		collector.next(t)
	}
	require.Equal(t, 1, observatory.outages())
	require.Zero(t, observatory.recoveries())

	collector.refuse.Store(false)
	collector.until(t, map[string]float64{handled: 5})
	eventually(t, "the log reports its end", func() bool { return observatory.recoveries() == 1 })
	require.Equal(t, 1, observatory.outages())

	collector.stop(t)
	require.NoError(t, observatory.stop(t), "a last push without a receiver is no failure")
}

func (p *process) outages() int    { return strings.Count(p.printed(), "metrics could not be pushed") }
func (p *process) recoveries() int { return strings.Count(p.printed(), "metrics are pushed again") }

// scrape returns the figures of ours that a page shows.
func scrape(t *testing.T, metrics string) map[string]float64 {
	t.Helper()
	response, err := get(t, "http://"+metrics+"/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	figures := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text := lines.Text(); strings.HasPrefix(text, "protean_") {
			space := strings.LastIndex(text, " ")
			figures[text[:space]], err = strconv.ParseFloat(text[space+1:], 64)
			require.NoError(t, err, text)
		}
	}
	return figures
}

// still leaves the values out of what moves though nothing happens.
func still(figures map[string]float64) map[string]float64 {
	figures = maps.Clone(figures)
	for series := range figures {
		switch name, _, _ := strings.Cut(series, "{"); name {
		case "protean_engine_uptime_seconds", "protean_collector_duration_seconds",
			"protean_broker_memory_bytes", "protean_broker_ops_per_sec_per_second",
			"protean_broker_connected_clients", "protean_broker_pool_active_connections":
			figures[series] = 0
		}
	}
	return figures
}
