package gauges_test

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/gauges"
)

// many is a snapshot of n subscriptions, their lag being lag.
func many(n int, lag float64) *collector.Snapshot {
	known := collector.Known
	part := collector.Part{Source: "broker:default"}
	for i := range n {
		part.Subscriptions = append(part.Subscriptions, collector.Subscription{
			Watch: collector.Watch{
				Domain: "shop", Handler: fmt.Sprintf("Handler%d", i), Group: fmt.Sprintf("shop.orders.Handler%d", i),
				Stream: fmt.Sprintf("shop::order%d", i), Type: "stream",
			},
			Lag: known(lag), LagExact: known(1), LagSeconds: known(1.5), Pending: known(2),
			OldestUnfinishedSeconds: known(60), DeadLetters: known(4), EntriesRead: known(100),
		})
		part.Queues = append(part.Queues, collector.Queue{Domain: "shop", Stream: fmt.Sprintf("shop::order%d:dlq", i), Depth: known(4)})
		part.Streams = append(part.Streams, collector.Stream{Domain: "shop", Stream: fmt.Sprintf("shop::order%d", i), EntriesAdded: known(103)})
	}
	return &collector.Snapshot{Parts: []collector.Part{part}}
}

// lags are the series of one family.
func lags(families []*dto.MetricFamily) []*dto.Metric {
	for _, f := range families {
		if f.GetName() == "protean_subscription_consumer_lag" {
			return f.Metric
		}
	}
	return nil
}

func TestSeriesOfWhatIsGoneDisappear(t *testing.T) {
	g := gauges.NewGatherer(quiet)
	for _, n := range []int{10, 3, 0, 7} {
		families, done, err := g.Of(many(n, 1)).Gather()
		require.NoError(t, err)
		require.Len(t, lags(families), n)
		done()
	}
}

func TestFamiliesAreTheScrapesOwnUntilItsTextIsWritten(t *testing.T) {
	g := gauges.NewGatherer(quiet)
	type held struct {
		value func() float64
		done  func()
	}
	var scrapes []held
	for i := range 5 {
		families, done, _ := g.Of(many(1, float64(i))).Gather()
		scrapes = append(scrapes, held{lags(families)[0].GetGauge().GetValue, done})
	}
	for i, s := range scrapes {
		require.InDelta(t, i, s.value(), 0)
		s.done()
	}
}

func TestConcurrentScrapesEachSeeOneSnapshot(t *testing.T) {
	g := gauges.NewGatherer(quiet)
	var all sync.WaitGroup
	for lag := range 8 {
		all.Go(func() {
			for range 20 {
				families, done, _ := g.Of(many(50, float64(lag))).Gather()
				for _, m := range lags(families) {
					if m.GetGauge().GetValue() != float64(lag) {
						t.Errorf("a lag of %v in a snapshot of %d", m.GetGauge().GetValue(), lag)
					}
				}
				done()
			}
		})
	}
	all.Wait()
}

func TestARepeatedLabelSetDoesNotFailTheScrapeAndIsLoggedOnce(t *testing.T) {
	var log testlog.Output
	twice := many(1, 5)
	again := twice.Parts[0].Subscriptions[0]
	again.Lag = collector.Known(6)
	twice.Parts[0].Subscriptions = append(twice.Parts[0].Subscriptions, again)
	h := gauges.Handler(gauges.Config{Snapshots: fixed{snapshot: twice}, Logger: log.Logger()})
	for range 3 {
		got := samples(t, scrape(t, h).Body.String())
		require.InDelta(t, 5, got[lagSeries], 0)
	}
	lines := 0
	for _, line := range log.Lines() {
		require.Contains(t, line, "labels.stream=shop::order0")
		lines++
	}
	require.Equal(t, 8, lines, "one for each gauge of a subscription")
}

func TestANameThatIsNotUTF8DoesNotFailTheScrape(t *testing.T) {
	s := &collector.Snapshot{Parts: []collector.Part{{Source: "broker:\xff"}}}
	require.Contains(t, samples(t, scrape(t, serve(fixed{snapshot: s})).Body.String()),
		`protean_collector_success{source="broker:`+"\uFFFD"+`"}`)
}

func TestLabelsThatOnlyDifferInTheirCutAreNotRepeated(t *testing.T) {
	s := &collector.Snapshot{Parts: []collector.Part{{Figures: collector.Figures{Queues: []collector.Queue{
		{Domain: "ab", Stream: "c", Depth: collector.Known(1)},
		{Domain: "a", Stream: "bc", Depth: collector.Known(2)},
		{Domain: "b", Stream: "ca", Depth: collector.Known(3)},
	}}}}}
	families, done, _ := gauges.NewGatherer(quiet).Of(s).Gather()
	defer done()
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "protean_dlq_depth" })
	require.Len(t, families[i].Metric, 3)
}

func BenchmarkScrape(b *testing.B) {
	h := gauges.Handler(gauges.Config{
		Snapshots: fixed{snapshot: many(1000, 3)}, Counters: prometheus.ToTransactionalGatherer(prometheus.NewRegistry()), Logger: quiet,
	})
	b.ReportAllocs()
	for b.Loop() {
		w := scrape(b, h)
		n, _ := io.Copy(io.Discard, w.Body)
		b.SetBytes(n)
	}
}
