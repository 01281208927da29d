package memorystore_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

func event(t *testing.T, id, stream string) message.Envelope {
	t.Helper()
	e, err := message.New(message.KindEvent, message.Headers{ID: id, Type: "Shop.Placed.v1", Stream: stream}, json.RawMessage(`{"n":1}`))
	require.NoError(t, err)
	return e
}

func appendAll(t *testing.T, s *memorystore.Store, streams ...string) {
	t.Helper()
	for i, stream := range streams {
		position, err := s.Append(t.Context(), event(t, stream, stream))
		require.NoError(t, err)
		require.EqualValues(t, i+1, position)
	}
}

func positions(got []message.Recorded) (at []int64) {
	for _, r := range got {
		at = append(at, r.GlobalPosition)
	}
	return at
}

func TestACategoryIsReadInOrderFromAPositionOn(t *testing.T) {
	s := memorystore.New()
	appendAll(t, s, "shop::order-1", "shop::customer-1", "shop::order-2", "shop::order-1")
	got, err := s.ReadCategory(t.Context(), "shop::order", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 3, 4}, positions(got))
	require.EqualValues(t, 1, got[2].Position, "the second of its stream")
	require.JSONEq(t, `{"n":1}`, string(got[0].Data))

	for _, c := range []struct {
		after int64
		max   int
		want  []int64
	}{{1, 10, []int64{3, 4}}, {2, 1, []int64{3}}, {4, 10, nil}, {99, 10, nil}} {
		got, err := s.ReadCategory(t.Context(), "shop::order", c.after, c.max)
		require.NoError(t, err)
		require.Equal(t, c.want, positions(got))
	}
}

func TestMessagesAreReadByTheirPositionsWithinTheCategory(t *testing.T) {
	s := memorystore.New()
	appendAll(t, s, "shop::order-1", "shop::customer-1", "shop::order-2")
	got, err := s.ReadAt(t.Context(), "shop::order", []int64{3, 2, 77, 1})
	require.NoError(t, err)
	require.Equal(t, []int64{3, 1}, positions(got), "another category's and an unknown one are left out")
}

func TestAMessageWithoutAStreamIsRefused(t *testing.T) {
	_, err := memorystore.New().Append(t.Context(), event(t, "e-1", ""))
	require.ErrorContains(t, err, `message "e-1" names no stream`)
}

func TestWaitingEndsWithAMessageOfTheCategory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendAll(t, s, "shop::order-1")
		waited := make(chan time.Duration)
		began := time.Now()
		go func() {
			_ = s.Wait(t.Context(), "shop::order", 1, time.Minute)
			waited <- time.Since(began)
		}()
		time.Sleep(time.Second)
		_, err := s.Append(t.Context(), event(t, "c", "shop::customer-1"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = s.Append(t.Context(), event(t, "o", "shop::order-1"))
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, <-waited, "the other category's message did not end it")

		require.NoError(t, s.Wait(t.Context(), "shop::order", 0, time.Minute), "there is one already")
		require.NoError(t, s.Wait(t.Context(), "shop::order", 3, time.Minute), "its time is over")
		ended, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, s.Wait(ended, "shop::order", 3, time.Minute), context.Canceled)
	})
}

func TestAPositionMovesForwardAndKeepsWhatFailed(t *testing.T) {
	s := memorystore.New()
	ctx := t.Context()
	save := func(c catchup.Change) catchup.State {
		require.NoError(t, s.SavePosition(ctx, "h", "shop::order", c))
		state, err := s.LoadPosition(ctx, "h", "shop::order")
		require.NoError(t, err)
		return state
	}
	first, second := catchup.Failed{Position: 3, Attempts: 1}, catchup.Failed{Position: 2, Attempts: 1}
	state := save(catchup.Change{Position: 4, Failed: []catchup.Failed{first, second}})
	require.EqualValues(t, 4, state.Position)
	require.Equal(t, []catchup.Failed{second, first}, state.Failed, "by position")

	first.Attempts = 2
	state = save(catchup.Change{Position: 1, Failed: []catchup.Failed{first}, Resolved: []catchup.Failed{second}})
	require.EqualValues(t, 4, state.Position, "it never goes back")
	require.Equal(t, []catchup.Failed{first}, state.Failed)
	state.Failed[0].Attempts = 99
	require.Empty(t, save(catchup.Change{Exhausted: []catchup.Failed{first}}).Failed)

	other, err := s.LoadPosition(ctx, "other", "shop::order")
	require.NoError(t, err)
	require.Zero(t, other.Position)
	ended, end := context.WithCancel(ctx)
	end()
	require.ErrorIs(t, s.SavePosition(ended, "h", "shop::order", catchup.Change{Position: 9}), context.Canceled)
}
