package messagedb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestLagCountsTheCategorysOwnMessages(t *testing.T) {
	t.Parallel()
	s := open(t, testserver.MessageDB(t))
	ctx := t.Context()
	for _, stream := range []string{"shop::order-1", "shop::customer-1", "shop::order-2", "shop::customer-1", "shop::order-3"} {
		_, err := s.Append(ctx, eventstoretest.Event(t, stream, "e"))
		require.NoError(t, err)
	}
	watch := func(name, category string) collector.Watch {
		return collector.Watch{Handler: name, Subscriber: "shop." + name, Group: "shop." + name, Stream: category, Type: "event_store"}
	}
	source := s.Source("shop", []collector.Watch{watch("Report", "shop::order"), watch("New", "shop::customer"), watch("Log", catchup.All)})
	read := func() []collector.Subscription {
		t.Helper()
		figures, err := source.Collect(ctx)
		require.NoError(t, err)
		return figures.Subscriptions
	}
	lags := func() (n []float64) {
		for _, f := range read() {
			require.True(t, f.Lag.Known)
			n = append(n, f.Lag.V)
		}
		return n
	}
	require.Equal(t, []float64{3, 2, 5}, lags())

	owner, err := s.Own(ctx, "shop.Report", "shop::order")
	require.NoError(t, err)
	failed := catchup.Failed{Position: 1, Attempts: 1}
	require.NoError(t, owner.Save(ctx, catchup.Change{Position: 3, Failed: []catchup.Failed{failed, {Position: 3}}}))
	require.NoError(t, owner.Save(ctx, catchup.Change{Resolved: []catchup.Failed{{Position: 3}}}))
	require.Equal(t, []float64{1, 2, 5}, lags(), "what subscriptions write themselves is no message")
	f := read()[0]
	require.Equal(t, collector.Known(1), f.Pending)
	require.False(t, f.OldestUnfinishedSeconds.Known)

	require.NoError(t, owner.Save(ctx, catchup.Change{Position: 5, Stopped: true}))
	require.NoError(t, owner.Release(ctx))
	again, err := s.Own(ctx, "shop.Report", "shop::order") // has a checkpoint
	require.NoError(t, err)
	require.Equal(t, collector.Known(1), read()[0].Pending)
	require.NoError(t, again.Save(ctx, catchup.Change{Exhausted: []catchup.Failed{failed}}))
	f = read()[0]
	require.Equal(t, collector.Known(0), f.Pending)
	require.Equal(t, collector.Known(0), f.Lag)
	require.Equal(t, collector.Known(0), f.LagSeconds)
	require.Equal(t, collector.Known(1), f.LagExact)
}
