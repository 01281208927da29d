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
)

func event(t *testing.T, id, stream string) message.Envelope {
	t.Helper()
	e, err := message.New(message.KindEvent, message.Headers{ID: id, Type: "Shop.Placed.v1", Stream: stream}, json.RawMessage(`{"n":1}`))
	require.NoError(t, err)
	return e
}

func appendAll(t *testing.T, s *memorystore.Store, streams ...string) {
	t.Helper()
	for _, stream := range streams {
		_, err := s.Append(t.Context(), event(t, stream, stream))
		require.NoError(t, err)
	}
}

func TestWaitingEndsWithAMessageOfTheCategory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memorystore.New()
		appendAll(t, s, "shop::order-1")
		waited := make(chan time.Duration)
		began := time.Now()
		go func() {
			_, _ = s.Wait(t.Context(), "shop::order", 1, time.Minute)
			waited <- time.Since(began)
		}()
		time.Sleep(time.Second)
		_, err := s.Append(t.Context(), event(t, "c", "shop::customer-1"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = s.Append(t.Context(), event(t, "o", "shop::order-1"))
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, <-waited, "the other category's message did not end it")

		for after, want := range map[int64]bool{0: true, 3: false} { // there is one already; its time is over
			found, err := s.Wait(t.Context(), "shop::order", after, time.Minute)
			require.NoError(t, err)
			require.Equal(t, want, found)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		_, err = s.Wait(ended, "shop::order", 3, time.Minute)
		require.ErrorIs(t, err, context.Canceled)
	})
}
