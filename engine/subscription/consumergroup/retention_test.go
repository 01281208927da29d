package consumergroup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
)

// trimmed are subscriptions to the stream "s" of one broker in memory, in virtual
// time.
type trimmed struct {
	*testing.T
	memory *memorybroker.Broker
	broker *brokertest.Flaky
	opener subscription.Opener
	log    testlog.Output
}

func inBubble(t *testing.T, test func(t *trimmed)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := memorybroker.New()
		broker := brokertest.NewFlaky(memory)
		test(&trimmed{T: t, memory: memory, broker: broker, opener: consumergroup.Over(broker)})
	})
}

// open makes a subscription with a retention of its own.
func (t *trimmed) open(name string, maxLen int, fn handler.Func) *subscription.Runner {
	t.Helper()
	r, err := subscription.New(subscription.Config{
		Handler: name, Stream: "s", Format: handler.FormatFields, RetentionMaxLen: maxLen, Order: subscription.OrderNone, Concurrency: 10,
		Retry: retry.Policy{MaxAttempts: 1000, Delay: time.Second},
	}, t.opener, fn, subscription.Environment{Logger: t.log.Logger()})
	require.NoError(t, err)
	return r
}

func (t *trimmed) run(r *subscription.Runner) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
}

func (t *trimmed) publish(n int) {
	t.Helper()
	for i := range n {
		_, err := t.memory.Publish(t.Context(), "s", message.Field{Name: "n", Value: []byte(fmt.Sprint(i))})
		require.NoError(t, err)
	}
}

// length is that of the stream, and held what it keeps beyond its retention.
func (t *trimmed) length() int {
	t.Helper()
	m, err := t.memory.Join(t.Context(), consumergroup.Member{Stream: "s", Group: "counts", Consumer: "c"})
	require.NoError(t, err)
	got, _, err := m.Read(t.Context(), consumergroup.Read{Max: 1 << 20})
	require.NoError(t, err)
	require.NoError(t, t.memory.DestroyGroup(t.Context(), "s", "counts"))
	return len(got)
}

func (t *trimmed) held() (collector.Value, string) {
	t.Helper()
	figures, err := t.memory.Source("shop", "default", []collector.Watch{{Stream: "s", Group: "a"}}).Collect(t.Context())
	require.NoError(t, err)
	return figures.Streams[0].RetentionHeld, figures.Streams[0].RetentionHeldBy
}

func done(context.Context, *message.Envelope) error { return nil }

func TestAStreamIsKeptAtItsRetentionWhileItIsRead(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		t.run(t.open("a", 20, done))
		for range 5 {
			t.publish(100)
			time.Sleep(2 * time.Second)
			require.Equal(t, 20, t.length())
		}
	})
}

func TestOfSeveralRetentionsOfOneStreamTheLargestHolds(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		a, b, c := t.open("a", 20, done), t.open("b", 50, done), t.open("c", 0, done)
		t.run(a)
		t.run(b)
		t.run(c)
		t.publish(100)
		time.Sleep(2 * time.Second)
		require.Equal(t, 50, t.length())
	})
}

func TestAStreamWithoutRetentionKeepsAll(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		t.run(t.open("a", 0, done))
		t.publish(100)
		time.Sleep(time.Hour)
		require.Equal(t, 100, t.length())
		held, _ := t.held()
		require.False(t, held.Known)
	})
}

func TestNothingIsTrimmedBeforeTheGroupsOfAllSubscriptionsExist(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		a, late := t.open("a", 20, done), t.open("late", 0, done)
		t.run(a)
		t.publish(100)
		time.Sleep(time.Minute)
		require.Equal(t, 100, t.length())
		held, by := t.held()
		require.Equal(t, collector.Known(80), held)
		require.Equal(t, "late", by)

		t.run(late)
		time.Sleep(2 * time.Second)
		require.Equal(t, 20, t.length())
	})
}

func TestWhatOneHandlerFailsToHandleIsKeptForIt(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		var repaired atomic.Bool
		t.run(t.open("a", 20, done))
		t.run(t.open("b", 20, func(_ context.Context, m *message.Envelope) error {
			if !repaired.Load() && strings.Contains(string(m.Data), `"40"`) {
				return errors.New("not yet")
			}
			return nil
		}))
		t.publish(100)
		time.Sleep(time.Minute)
		require.Equal(t, 60, t.length())
		held, by := t.held()
		require.Equal(t, collector.Known(40), held)
		require.Equal(t, "b", by)

		repaired.Store(true)
		time.Sleep(32 * time.Second)
		require.Equal(t, 20, t.length(), "though nothing is read any more")
	})
}

func TestTrimmingThatFailsIsLoggedOnceAndHoldsUpNothing(t *testing.T) {
	inBubble(t, func(t *trimmed) {
		clear := t.broker.Inject(brokertest.Fault{Method: "Trim", Times: -1})
		var handled atomic.Int32
		r := t.open("a", 20, func(context.Context, *message.Envelope) error { handled.Add(1); return nil })
		t.run(r)
		for range 10 {
			t.publish(10)
			time.Sleep(2 * time.Second)
		}
		require.EqualValues(t, 100, handled.Load())
		require.Equal(t, 100, t.length())
		require.Equal(t, 1, strings.Count(t.log.String(), "cannot trim the stream to retention_maxlen"))
		clear()
		t.publish(10)
		time.Sleep(2 * time.Second)
		require.Equal(t, 20, t.length())
		require.Equal(t, 1, strings.Count(t.log.String(), "trimming the stream again"))
	})
}
