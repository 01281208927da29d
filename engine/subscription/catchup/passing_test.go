package catchup_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// all is a subscription to all messages.
var all = subscription.Config{Handler: "all", Stream: catchup.All}.WithDefaults()

func appendTo(t *testing.T, s *memorystore.Store, stream string, n int) {
	t.Helper()
	for i := range n {
		e, err := message.New(message.KindEvent, message.Headers{ID: fmt.Sprint(stream, i), Type: "T", Stream: stream}, []byte("{}"))
		require.NoError(t, err)
		_, err = s.Append(t.Context(), e)
		require.NoError(t, err)
	}
}

// What other subscriptions write is passed, however much of it there is: one by one,
// in pages, and beside a message that is not settled.
func TestPassingNeverStopsReading(t *testing.T) {
	for _, each := range []int{1, 10, 2000} {
		for _, held := range []bool{false, true} {
			t.Run(fmt.Sprint(each, held), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := memorystore.New()
					src := catchup.Over(s).Open(all, slog.New(slog.DiscardHandler))
					next := func() []*subscription.Task {
						tasks, err := src.Next(t.Context(), 10)
						require.NoError(t, err)
						return tasks
					}
					if held {
						appendTo(t, s, "shop::order-1", 1)
						require.Len(t, next(), 1)
					}
					for range 4000 / each {
						appendTo(t, s, "position-Other-shop::order", each)
						require.Empty(t, next())
					}
					appendTo(t, s, "shop::order-2", 1)
					began := time.Now()
					var got []*subscription.Task
					for len(got) == 0 && time.Since(began) < 10*time.Second {
						got = next()
					}
					require.Len(t, got, 1, "reading stopped")
					require.NoError(t, src.Close(t.Context()))
				})
			})
		}
	}
}

// What a process had in hand is found among any number of messages that are passed.
func TestWhatIsPassedHidesNoMessageThatEndsItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendTo(t, s, "position-Other-shop::order", 500)
		appendTo(t, s, "shop::order-1", 3)
		appendTo(t, s, "position-Other-shop::order", 500)
		appendTo(t, s, "shop::order-1", 3)
		first := catchup.Over(s).Open(all, slog.New(slog.DiscardHandler))
		for n := 0; n < 6; {
			tasks, err := first.Next(t.Context(), 10)
			require.NoError(t, err)
			n += len(tasks)
		}
		s.Expire(all.Handler, all.Stream)
		second := catchup.Over(s).Open(all, slog.New(slog.DiscardHandler))
		for range 6 {
			tasks, err := second.Next(t.Context(), 10)
			require.NoError(t, err)
			require.Len(t, tasks, 1)
			require.True(t, tasks[0].Apart)
		}
		appendTo(t, s, "shop::order-1", 3)
		tasks, err := second.Next(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, tasks, 3, "no owner before had them")
	})
}

// A failed position that the store does not have is no reason to pass the message
// that is written there later.
func TestAFailedPositionThatIsYetToComeHidesNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendEvents(t, s, 1)
		owner, err := s.Own(t.Context(), cfg.Handler, cfg.Stream)
		require.NoError(t, err)
		require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 1, Failed: []catchup.Failed{{Position: 2}}, Stopped: true}))
		require.NoError(t, owner.Release(t.Context()))
		src := open(s)
		tasks, err := src.Next(t.Context(), 10)
		require.NoError(t, err)
		require.Empty(t, tasks)
		appendEvents(t, s, 1)
		tasks, err = src.Next(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, tasks, 1)
		require.EqualValues(t, 2, tasks[0].Delivery.Position)
		src.Done(tasks)
		require.NoError(t, src.Close(t.Context()))
	})
}
