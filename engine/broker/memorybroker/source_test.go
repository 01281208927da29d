package memorybroker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var watch = collector.Watch{Domain: "shop", Handler: "H", Group: "g", Stream: "s", Type: "stream"}

func collect(t *testing.T, b *memorybroker.Broker, watched ...collector.Watch) collector.Figures {
	t.Helper()
	f, err := b.Source("shop", "default", watched).Collect(t.Context())
	require.NoError(t, err)
	return f
}

func TestTheFiguresOfAGroupAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memorybroker.New()
		s := join(t, b, "c")
		dead := publish(t, b, 1)[0]
		time.Sleep(10 * time.Second)
		publish(t, b, 2)
		time.Sleep(5 * time.Second)
		publish(t, b, 4)
		time.Sleep(2 * time.Second)
		read(t, s, consumergroup.Read{Max: 3})
		_, err := s.DeadLetter(t.Context(), []deadletter.Entry{{ID: dead, Data: []byte("{}")}})
		require.NoError(t, err)

		require.Equal(t, collector.Figures{
			Subscriptions: []collector.Subscription{{
				Watch:                   watch,
				Lag:                     collector.Known(4),
				LagExact:                collector.Known(1),
				LagSeconds:              collector.Known(2),
				Pending:                 collector.Known(2),
				OldestUnfinishedSeconds: collector.Known(7),
				DeadLetters:             collector.Known(1),
				EntriesRead:             collector.Known(3), Paused: collector.Known(0),
			}},
			Queues:  []collector.Queue{{Domain: "shop", Stream: "s:dlq", Depth: collector.Known(1)}},
			Streams: []collector.Stream{{Domain: "shop", Stream: "s", EntriesAdded: collector.Known(7)}},
			Brokers: []collector.Broker{{Domain: "shop", Name: "default", Up: collector.Known(1)}},
		}, collect(t, b, watch))
	})
}

func TestAGroupThatHasFinishedIsNotBehind(t *testing.T) {
	b := memorybroker.New()
	s := join(t, b, "c")
	ids := publish(t, b, 3)
	read(t, s, consumergroup.Read{Max: 3})
	require.NoError(t, s.Ack(t.Context(), ids))

	got := collect(t, b, watch).Subscriptions[0]
	require.Equal(t, collector.Known(0), got.Lag)
	require.Equal(t, collector.Known(0), got.LagSeconds)
	require.Equal(t, collector.Known(0), got.Pending)
	require.Equal(t, collector.Known(0), got.OldestUnfinishedSeconds)
	require.Equal(t, collector.Known(3), got.EntriesRead)
}

func TestAGroupThatDoesNotExistHasNoFigures(t *testing.T) {
	b := memorybroker.New()
	require.Equal(t, collector.Figures{
		Queues:  []collector.Queue{{Domain: "shop", Stream: "s:dlq", Depth: collector.Known(0)}},
		Brokers: []collector.Broker{{Domain: "shop", Name: "default", Up: collector.Known(1)}},
	}, collect(t, b, watch), "no stream yet")

	publish(t, b, 1)
	f := collect(t, b, watch)
	require.Empty(t, f.Subscriptions, "no group yet")
	require.Len(t, f.Streams, 1)
}

func TestAStreamOfSeveralHandlersIsCountedOnce(t *testing.T) {
	b := memorybroker.New()
	join(t, b, "c")
	second := watch
	second.Handler = "Other"
	f := collect(t, b, watch, second)
	require.Len(t, f.Subscriptions, 2)
	require.Len(t, f.Queues, 1)
	require.Len(t, f.Streams, 1)
}

func TestAClosedBrokerIsDownAndACallerThatLeftLearnsNothing(t *testing.T) {
	b := memorybroker.New()
	source := b.Source("shop", "default", nil)
	require.Equal(t, "broker:default", source.Name())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, err := source.Collect(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []collector.Broker{{Domain: "shop", Name: "default"}}, f.Brokers)

	require.NoError(t, b.Close(t.Context()))
	f, err = source.Collect(t.Context())
	require.ErrorIs(t, err, broker.ErrClosed)
	require.Equal(t, collector.Known(0), f.Brokers[0].Up)
}
