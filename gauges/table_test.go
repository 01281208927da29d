package gauges_test

import (
	"slices"
	"testing"

	"github.com/prometheus/otlptranslator"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/gauges"
)

func TestTheExpositionIsTheGoldenFile(t *testing.T) {
	promtest.RequireGolden(t, "testdata/metrics.txt", scrape(t, serve(fixed{snapshot: everyFigure()})).Body.String())
}

func TestBothFormsOfANameAreTheSameMetric(t *testing.T) {
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	for _, g := range gauges.Table() {
		var kind otlptranslator.MetricType = otlptranslator.MetricTypeGauge
		if g.Counter {
			kind = otlptranslator.MetricTypeMonotonicCounter
		}
		exposed, err := namer.Build(otlptranslator.Metric{Name: g.Name, Unit: g.Unit, Type: kind})
		require.NoError(t, err)
		require.Equal(t, exposed, g.Exposed)
	}
}

func TestEveryGaugeSaysWhoseFigureItIs(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range gauges.Table() {
		require.False(t, seen[g.Exposed] || seen[g.Name], g.Exposed)
		seen[g.Exposed], seen[g.Name] = true, true
		require.True(t, slices.IsSorted(g.Labels), g.Exposed)
		if g.Shared {
			require.Contains(t, g.Help, "Shared figure", g.Exposed)
		} else {
			require.Regexp(t, "This process' own figure|As this process sees it", g.Help, g.Exposed)
		}
	}
}

func TestUnknownIsNotZero(t *testing.T) {
	var unknown collector.Snapshot
	unknown.Parts = []collector.Part{{Source: "s", Figures: collector.Figures{
		Subscriptions: []collector.Subscription{{Watch: collector.Watch{Stream: "s"}}},
		Queues:        []collector.Queue{{Stream: "s:dlq"}},
		Streams:       []collector.Stream{{Stream: "s"}},
		Brokers:       []collector.Broker{{Name: "default"}},
		Outboxes:      []collector.Outbox{{Domain: "d"}},
	}}}
	require.Equal(t, map[string]float64{
		`protean_collector_success{source="s"}`:          1,
		`protean_collector_duration_seconds{source="s"}`: 0,
	}, samples(t, scrape(t, serve(fixed{snapshot: &unknown})).Body.String()))
}

func TestStatusIsOneOnlyWhereNothingIsLeftToDo(t *testing.T) {
	unknown, zero, one := collector.Value{}, collector.Known(0), collector.Known(1)
	for _, c := range []struct {
		lag, pending, want collector.Value
	}{
		{zero, zero, one},
		{one, zero, zero},
		{zero, one, zero},
		{unknown, zero, unknown},
		{zero, unknown, unknown},
	} {
		s := &collector.Snapshot{Parts: []collector.Part{{Figures: collector.Figures{
			Subscriptions: []collector.Subscription{{Lag: c.lag, Pending: c.pending}},
		}}}}
		got, found := samples(t, scrape(t, serve(fixed{snapshot: s})).Body.String())[`protean_subscription_status{domain="",group="",handler="",stream="",type=""}`]
		require.Equal(t, c.want, collector.Value{V: got, Known: found})
	}
}

func TestPromtoolFindsNothingButTheInheritedNames(t *testing.T) {
	promtest.RequireLinted(t, scrape(t, serve(fixed{snapshot: everyFigure()})).Body.String())
}
