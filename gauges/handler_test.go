package gauges_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/gauges"
)

// source is a broker with one subscription; it answers after a delay.
type source struct {
	name  string
	delay time.Duration
	pool  float64
	asked atomic.Int32
}

func (s *source) Name() string { return s.name }

func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	s.asked.Add(1)
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return collector.Figures{}, ctx.Err()
	}
	figures := many(1, 3).Parts[0].Figures
	figures.Brokers = []collector.Broker{{Name: s.name, Up: collector.Known(1), PoolActive: collector.Known(s.pool)}}
	return figures, nil
}

func collect(t *testing.T, sources ...collector.Source) *collector.Collector {
	t.Helper()
	c := collector.New(collector.Config{Sources: sources, Logger: quiet})
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
}

func TestAScrapeMayTakeLongerThanItsServerGivesOthers(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	server := httptest.NewUnstartedServer(serve(collect(t, &source{name: "broker:default", delay: 4 * limit})))
	server.Config.WriteTimeout = limit
	server.Start()
	t.Cleanup(server.Close)
	response, err := http.Get(server.URL)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, string(text), lagSeries)
}

const lagSeries = `protean_subscription_consumer_lag{domain="shop",group="shop.orders.Handler0",handler="Handler0",stream="shop::order0",type="stream"}`

func TestNothingIsAskedBeforeTheFirstScrapeWhichCarriesValues(t *testing.T) {
	s := &source{name: "broker:default"}
	opened := 0
	lazy := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		opened++
		return collect(t, s), nil
	}, quiet)
	h := serve(lazy)
	require.Zero(t, opened)

	require.InDelta(t, 3, samples(t, scrape(t, h).Body.String())[lagSeries], 0)
	scrape(t, h)
	require.Equal(t, 1, opened)
	require.EqualValues(t, 1, s.asked.Load(), "one snapshot within two seconds")

	require.NoError(t, lazy.Close(t.Context()))
	require.NoError(t, lazy.Close(t.Context()))
	require.Contains(t, scrape(t, h).Body.String(), `protean_collector_success{source="collector"} 0`)
}

func TestAFailedRegistrationIsTriedAgainAtTheNextScrape(t *testing.T) {
	var log testlog.Output
	failures := []error{errors.New("no route"), errors.New("no route"), errors.New("refused")}
	lazy := gauges.NewLazy(func(context.Context) (*collector.Collector, error) {
		if len(failures) > 0 {
			err := failures[0]
			failures = failures[1:]
			return nil, err
		}
		return collect(t, &source{name: "broker:default"}), nil
	}, log.Logger())
	h := serve(lazy)
	for range 3 {
		got := samples(t, scrape(t, h).Body.String())
		require.Contains(t, got, `protean_collector_success{source="collector"}`)
		require.Zero(t, got[`protean_collector_success{source="collector"}`])
	}
	got := samples(t, scrape(t, h).Body.String())
	require.NotContains(t, got, `protean_collector_success{source="collector"}`)
	require.Contains(t, got, lagSeries)

	lines := log.Lines()
	require.Len(t, lines, 3, "one line a change")
	require.Contains(t, lines[0], "no route")
	require.Contains(t, lines[1], "refused")
	require.Contains(t, lines[2], "after all")
	require.NoError(t, lazy.Close(t.Context()))
}

func TestAScrapeEndsBeforeItsOwnDeadline(t *testing.T) {
	for _, c := range []struct {
		header string
		want   time.Duration
	}{
		{"", 9500 * time.Millisecond},
		{"2", 1800 * time.Millisecond},
		{"0.5", 450 * time.Millisecond},
		{"60", 59500 * time.Millisecond},
		{"1e300", 3600*time.Second - 500*time.Millisecond},
		{"-1", 9500 * time.Millisecond},
		{"NaN", 9500 * time.Millisecond},
		{"soon", 9500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			slow := &source{name: "slow", delay: 24 * time.Hour}
			h := serve(collect(t, &source{name: "quick"}, slow))
			started := time.Now()
			body := scrape(t, h, "X-Prometheus-Scrape-Timeout-Seconds", c.header).Body.String()
			took := time.Since(started)
			require.LessOrEqual(t, took, c.want)
			require.GreaterOrEqual(t, took, c.want*8/10, "no more margin than it takes")

			got := samples(t, body)
			require.Contains(t, got, lagSeries)
			require.InDelta(t, 1, got[`protean_collector_success{source="quick"}`], 0)
			require.InDelta(t, 0, got[`protean_collector_success{source="slow"}`], 0)
		})
	}
}

func TestAScrapeEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := serve(collect(t, &source{name: "slow", delay: time.Hour}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		require.LessOrEqual(t, time.Since(started), time.Second)
	})
}

func TestReplicasReportTheSameSharedFiguresAndTheirOwnOthers(t *testing.T) {
	shared := map[string]bool{}
	for _, g := range gauges.Table() {
		shared[g.Exposed] = g.Shared
	}
	replica := func(pool float64) map[string]float64 {
		return samples(t, scrape(t, serve(collect(t, &source{name: "broker:default", pool: pool}))).Body.String())
	}
	first, second := replica(2), replica(5)
	for series, value := range first {
		if name, _, _ := strings.Cut(series, "{"); shared[name] {
			require.InDelta(t, value, second[series], 0, series)
		}
	}
	const pool = `protean_broker_pool_active_connections{broker_name="broker:default",domain=""}`
	require.InDelta(t, 7, first[pool]+second[pool], 0)
	require.False(t, shared["protean_broker_pool_active_connections"])
}

func TestTheTextIsTheClassicOneUnlessOpenMetricsIsAskedFor(t *testing.T) {
	h := serve(fixed{snapshot: everyFigure()})
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", scrape(t, h).Header().Get("Content-Type"))

	w := scrape(t, h, "Accept", "application/openmetrics-text; version=1.0.0")
	require.Contains(t, w.Header().Get("Content-Type"), "application/openmetrics-text; version=1.0.0")
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "# TYPE protean_stream_entries_added counter\n")
	require.True(t, strings.HasSuffix(string(body), "# EOF\n"))
}
