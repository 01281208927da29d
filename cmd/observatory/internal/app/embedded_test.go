package app_test

import (
	"context"
	"net"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testlog"
)

func TestTheEmbeddedSampleShowsLifeByItself(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{Embedded: true})
	for _, metric := range []string{
		"protean_subscription_retries_total", "protean_subscription_dlq_routed_total", "protean_dlq_depth",
	} {
		r.until(metric+" grows", func() bool { return some(t, r.scrape(), metric) > 0 })
	}
	r.until("messages are processed", func() bool {
		ok, _ := r.figure("protean_subscription_messages_processed_total", "handler", "OrderMailer", "status", "ok")
		failed, _ := r.figure("protean_subscription_messages_processed_total", "handler", "OrderMailer", "status", "error")
		return ok > 0 && failed > 0
	})
	r.until("the slow handler is behind, and has entries in hand", func() bool {
		text := r.scrape()
		lag, _ := figureOf(t, text, "protean_subscription_consumer_lag", "handler", "OrderReport")
		age, _ := figureOf(t, text, "protean_subscription_lag_seconds", "handler", "OrderReport")
		pending, _ := figureOf(t, text, "protean_subscription_pending_messages", "handler", "OrderReport")
		return lag > 0 && age > 0 && pending > 0
	})
	r.until("the durations spread", func() bool {
		return bucketsHit(t, r.scrape(), "protean_subscription_processing_duration_seconds") >= 3
	})
}

func TestThePortThatWasTakenIsPrinted(t *testing.T) {
	t.Parallel()
	var printed testlog.Output
	a, err := app.New(t.Context(), app.Options{Embedded: true, Stderr: &printed, ListenAddress: "127.0.0.1:0", HealthAddress: "127.0.0.1:0"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	var found []string
	require.Eventually(t, func() bool {
		found = regexp.MustCompile(`(?m)^  health +(http\S+)$`).FindStringSubmatch(printed.String())
		return found != nil
	}, limit, time.Millisecond)
	status, _ := shoptest.Get(t, found[1])
	require.NotZero(t, status, found[1])
	stop()
	require.NoError(t, <-ended)
}

// some is the sum of all series of a metric.
func some(t *testing.T, text, metric string) (sum float64) {
	t.Helper()
	for _, m := range seriesOf(t, text, metric) {
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return sum
}

// bucketsHit counts the buckets that hold something of their own.
func bucketsHit(t *testing.T, text, metric string) int {
	t.Helper()
	hit := map[float64]bool{}
	for _, m := range seriesOf(t, text, metric) {
		var below uint64
		for _, b := range m.GetHistogram().GetBucket() {
			if b.GetCumulativeCount() > below {
				hit[b.GetUpperBound()] = true
			}
			below = b.GetCumulativeCount()
		}
	}
	return len(hit)
}

func TestTheEmbeddedSampleIsReachedFromThisMachineOnly(t *testing.T) {
	t.Parallel()
	metrics, health := app.SampleAddresses(t)
	for _, address := range []string{metrics, health} {
		host, _, err := net.SplitHostPort(address)
		require.NoError(t, err)
		require.True(t, net.ParseIP(host).IsLoopback(), address)
	}
}

func TestTheGreetingNamesAddressesThatAnswer(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{Embedded: true})
	root, err := url.Parse(r.metrics)
	require.NoError(t, err)
	status, body := shoptest.Get(t, "http://"+root.Host+"/")
	require.Equal(t, 200, status)
	require.Contains(t, body, `href="/metrics"`)
	require.Contains(t, r.printed.String(), "http://"+r.health+"/readyz")
	r.until("it is ready", func() bool {
		status, body = shoptest.Get(t, "http://"+r.health+"/readyz")
		return status == 200
	})
	require.Contains(t, body, `"subscriptions": 2`)
}

func TestASecondRunIsRefusedAndDisturbsNothing(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{Embedded: true})
	require.ErrorContains(t, r.app.Run(t.Context()), "runs already")
	before := some(t, r.scrape(), "protean_subscription_messages_processed_total")
	r.until("it goes on", func() bool {
		return some(t, r.scrape(), "protean_subscription_messages_processed_total") > before
	})
}

// A supervisor that kills after 30 s must not find it still closing.
func TestAClientOfTheMetricsThatHangsLeavesTimeToTheRestAndTheStopItsBound(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{Embedded: true})
	var left time.Duration
	closing := make(chan time.Time, 1)
	r.app.OnClose(func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		closing <- deadline
		return nil
	})
	at, err := url.Parse(r.metrics)
	require.NoError(t, err)
	client, err := net.Dial("tcp", at.Host)
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Write([]byte("GET /metrics HTTP/1.1\r\n"))
	require.NoError(t, err)
	r.scrape()

	ending := time.Now()
	require.NoError(t, r.halt())
	require.Less(t, (<-closing).Sub(ending), app.CloseTimeout+2*time.Second, "one deadline for all")
	require.Greater(t, left, app.CloseTimeout/2)
}
