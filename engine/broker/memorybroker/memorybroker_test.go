package memorybroker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBroker(t *testing.T) {
	brokertest.Run(t, func(*testing.T) brokertest.Broker { return memorybroker.New() })
}

func TestBrokerWithRetention(t *testing.T) {
	brokertest.Run(t, func(*testing.T) brokertest.Broker { return memorybroker.New(memorybroker.WithMaxLen(1000)) })
}

// join joins group g of stream s.
func join(t *testing.T, b *memorybroker.Broker, consumer string) consumergroup.Membership {
	t.Helper()
	s, err := b.Join(t.Context(), consumergroup.Member{Stream: "s", Group: "g", Consumer: consumer})
	require.NoError(t, err)
	return s
}

func publish(t *testing.T, b *memorybroker.Broker, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id, err := b.Publish(t.Context(), "s", message.Field{Name: "data", Value: fmt.Append(nil, i)})
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func read(t *testing.T, s consumergroup.Membership, r consumergroup.Read) (ids []string) {
	t.Helper()
	ids, err := tryRead(t, s, r)
	require.NoError(t, err)
	return ids
}

// tryRead asserts nothing: it may run in any goroutine.
func tryRead(t *testing.T, s consumergroup.Membership, r consumergroup.Read) (ids []string, err error) {
	t.Helper()
	got, _, err := s.Read(t.Context(), r)
	for _, d := range got {
		ids = append(ids, d.ID)
	}
	return ids, err
}

func TestIDsAreTimeAndNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ms := memorybroker.New(), time.Now().UnixMilli()
		ids := publish(t, b, 2)
		time.Sleep(3 * time.Millisecond)
		ids = append(ids, publish(t, b, 1)...)
		require.Equal(t, []string{
			fmt.Sprintf("%d-0", ms), fmt.Sprintf("%d-1", ms), fmt.Sprintf("%d-0", ms+3),
		}, ids)
	})
}

func TestAReadWaitsForItsTimeAndASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := join(t, memorybroker.New(), "c")
		for asked, waited := range map[time.Duration]time.Duration{
			0: 0, 30 * time.Millisecond: 30 * time.Millisecond, 5 * time.Second: time.Second,
		} {
			start := time.Now()
			require.Empty(t, read(t, s, consumergroup.Read{Max: 1, Block: asked}))
			require.Equal(t, waited, time.Since(start), "asked for %s", asked)
		}
	})
}

func TestAWaitingReadGetsTheNextEntryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memorybroker.New()
		s, start := join(t, b, "c"), time.Now()
		var got []string
		go func() { got, _ = tryRead(t, s, consumergroup.Read{Max: 10, Block: time.Second}) }()
		time.Sleep(300 * time.Millisecond)
		ids := publish(t, b, 1)
		synctest.Wait()
		require.Equal(t, ids, got)
		require.Equal(t, 300*time.Millisecond, time.Since(start))
	})
}

func TestOneOfTwoWaitingReadersGetsTheEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memorybroker.New()
		got := make(chan []string, 2)
		for _, name := range []string{"one", "two"} {
			s := join(t, b, name)
			go func() {
				ids, _ := tryRead(t, s, consumergroup.Read{Max: 1, Block: time.Second})
				got <- ids
			}()
		}
		synctest.Wait()
		ids := publish(t, b, 1)
		require.Equal(t, ids, <-got)
		require.Empty(t, <-got, "the other waited its second")
	})
}

func TestAWaitingReadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := join(t, memorybroker.New(), "c"), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, acked, err := s.Read(ctx, consumergroup.Read{Max: 1, Block: time.Second})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, acked, "that was done before the wait")
		require.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

func TestCloseEndsAWaitingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memorybroker.New()
		s, start := join(t, b, "c"), time.Now()
		var err error
		go func() { _, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1, Block: time.Second}) }()
		synctest.Wait()
		require.NoError(t, b.Close(t.Context()))
		synctest.Wait()
		require.ErrorIs(t, err, broker.ErrClosed)
		require.Zero(t, time.Since(start))
	})
}

func TestAMemberNeedsItsNames(t *testing.T) {
	_, err := memorybroker.New().Join(t.Context(), consumergroup.Member{Stream: "s", Consumer: "c"})
	require.ErrorContains(t, err, `group "" and consumer "c" must all be named`)
}

func TestAnIDThatIsNoneIsAnError(t *testing.T) {
	s := join(t, memorybroker.New(), "c")
	for _, text := range []string{"x", "1", "1-", "-1", "1-2-3", "99999999999999999999-1"} {
		_, _, err := s.Pending(t.Context(), consumergroup.List{After: text, Max: 1})
		require.ErrorContains(t, err, fmt.Sprintf("%q is not an entry id", text))
	}
}
