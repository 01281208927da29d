package catchup_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

func appendEvents(t *testing.T, s *memorystore.Store, n int) {
	t.Helper()
	for i := range n {
		e, err := message.New(message.KindEvent, message.Headers{ID: fmt.Sprint("e-", i+1), Type: "T", Stream: "shop::order-1"}, []byte("{}"))
		require.NoError(t, err)
		_, err = s.Append(t.Context(), e)
		require.NoError(t, err)
	}
}

// A message that ends its process before anything is saved is found out, and ends
// as exhausted, and none of those that it was read with does.
func TestAMessageThatEndsItsProcessIsFoundOut(t *testing.T) {
	s := memorystore.New()
	appendEvents(t, s, 300)
	const poison, maxAttempts = 57, 3
	handled := map[int64]int{}
	var givenUp []int64
	process := func() (ended bool) {
		src := open(s)
		for {
			tasks, err := src.Next(t.Context(), 10)
			require.NoError(t, err)
			if len(tasks) == 0 {
				return false
			}
			for _, task := range tasks {
				one := []*subscription.Task{task}
				if task.Attempts > maxAttempts {
					_, err := src.GiveUp(t.Context(), one)
					require.NoError(t, err)
					givenUp = append(givenUp, task.Delivery.Position)
					continue
				}
				if task.Recorded < task.Attempts+1 {
					_, err := src.Attempt(t.Context(), one)
					require.NoError(t, err)
				}
				if task.Delivery.Position == poison {
					s.Expire(cfg.Handler, cfg.Stream)
					return true
				}
				handled[task.Delivery.Position]++
				src.Done(one)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ends := 0
		for process() {
			ends++
			require.Less(t, ends, 10)
		}
		require.LessOrEqual(t, ends, maxAttempts+2)
		require.Equal(t, []int64{poison}, givenUp)
		require.Len(t, handled, 299)
	})
}

func TestAProcessOnStandbyTakesOverWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendEvents(t, s, 3)
		first, second := open(s), open(s)
		held, err := first.Next(t.Context(), 2)
		require.NoError(t, err)
		require.Len(t, held, 2)
		_, err = second.Next(t.Context(), 2)
		require.ErrorIs(t, err, subscription.ErrStandby)

		lost := make(chan []*subscription.Task, 1)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			first.Upkeep(ctx, lost)
		}()
		s.Expire(cfg.Handler, cfg.Stream)
		began := time.Now()
		got, err := second.Next(t.Context(), 2)
		require.NoError(t, err)
		require.Len(t, got, 1, "one by one: the former owner did not stop in order")
		require.Less(t, time.Since(began), 2*time.Second)

		_, err = first.Next(t.Context(), 2)
		require.ErrorIs(t, err, subscription.ErrStandby)
		require.ElementsMatch(t, held, <-lost)
		require.True(t, held[0].IsLost())
		first.Done(held) // what it handled meanwhile counts no more
		again, err := first.Attempt(t.Context(), held)
		require.NoError(t, err)
		require.Equal(t, held, again)
		stop()
		<-ended
		require.NoError(t, first.Close(t.Context()))
		state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
		require.NoError(t, err)
		require.Zero(t, state.Position)
	})
}

func TestThePositionIsSavedAtItsIntervalAndWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendEvents(t, s, 12)
		src := open(s)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			src.Upkeep(ctx, make(chan []*subscription.Task))
		}()
		position := func() int64 {
			synctest.Wait()
			state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
			require.NoError(t, err)
			return state.Position
		}
		tasks, err := src.Next(t.Context(), 12)
		require.NoError(t, err)
		src.Done(tasks[:9])
		require.EqualValues(t, 0, position())
		src.Done(tasks[9:10])
		require.EqualValues(t, 10, position(), "position_update_interval")
		src.Done(tasks[10:])
		require.EqualValues(t, 10, position())
		time.Sleep(time.Second)
		require.EqualValues(t, 12, position(), "idle")
		stop()
		<-ended
		require.NoError(t, src.Close(t.Context()))
	})
}

func TestBookkeepingIsNoMessage(t *testing.T) {
	s := memorystore.New()
	for i, stream := range []string{"position-h-shop::order", "shop::order-1", "failed-h-shop::order", "recovery-checkpoint-h-shop::order", "shop::order-2"} {
		e, err := message.New(message.KindEvent, message.Headers{ID: fmt.Sprint(i), Type: "T", Stream: stream}, []byte("{}"))
		require.NoError(t, err)
		_, err = s.Append(t.Context(), e)
		require.NoError(t, err)
	}
	all := cfg
	all.Stream = catchup.All
	src := catchup.Over(s).Open(all, nil)
	tasks, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []int64{2, 5}, slices.Collect(func(yield func(int64) bool) {
		for _, task := range tasks {
			yield(task.Delivery.Position)
		}
	}))
	src.Done(tasks)
	require.NoError(t, src.Close(t.Context()))
	state, err := s.LoadPosition(t.Context(), all.Handler, all.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 5, state.Position)
}

func TestABodyThatWasDroppedIsReadAgain(t *testing.T) {
	s := memorystore.New()
	appendEvents(t, s, 3)
	src := open(s)
	tasks, err := src.Next(t.Context(), 3)
	require.NoError(t, err)
	want := slices.Clone(tasks[1].Delivery.Fields)
	tasks[1].Delivery.Fields = nil
	gone := &subscription.Task{Delivery: message.Delivery{Position: 99}}
	require.NoError(t, src.(subscription.Reloader).Reload(t.Context(), []*subscription.Task{tasks[1], gone}))
	require.Equal(t, want, tasks[1].Delivery.Fields)
	require.True(t, gone.Delivery.Gone())
}

// A process that takes no new messages before it is stopped lets another go on.
func TestADrainedOwnerGivesTheSubscriptionUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		ctx, stop := context.WithCancel(t.Context())
		handled := map[string][]string{}
		var mu sync.Mutex
		var ended sync.WaitGroup
		start := func(process string) *subscription.Runner {
			r, err := subscription.New(cfg, catchup.Over(s), func(_ context.Context, m *message.Envelope) error {
				mu.Lock()
				defer mu.Unlock()
				handled[process] = append(handled[process], m.Metadata.Headers.ID)
				return nil
			}, subscription.Environment{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			ended.Go(func() { require.NoError(t, r.Run(ctx, ctx)) })
			time.Sleep(time.Second)
			return r
		}
		had := func(process string) int {
			mu.Lock()
			defer mu.Unlock()
			return len(handled[process])
		}
		owner := start("owner")
		start("standby")
		appendEvents(t, s, 3)
		time.Sleep(time.Second)
		require.Equal(t, 3, had("owner"))

		owner.Drain(true)
		time.Sleep(10 * time.Second)
		require.Equal(t, []subscription.GateReason{subscription.Draining}, owner.Status().Gate)
		appendEvents(t, s, 3)
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, had("owner"))
		require.Equal(t, 3, had("standby"), "the other goes on where the owner was")

		owner.Drain(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, []subscription.GateReason{subscription.Standby}, owner.Status().Gate)
		stop()
		ended.Wait()
	})
}
