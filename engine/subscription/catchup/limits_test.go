package catchup_test

import (
	"context"
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

// follow runs a subscription until it handled a message of this id, and returns all
// that it handled.
func follow(t *testing.T, s catchup.Store, c subscription.Config, last string) (handled []string) {
	t.Helper()
	got := make(chan string)
	r, err := subscription.New(c, catchup.Over(s), func(_ context.Context, m *message.Envelope) error {
		got <- m.Metadata.Headers.ID
		return nil
	}, subscription.Environment{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, context.Background()) }()
	for len(handled) == 0 || handled[len(handled)-1] != last {
		select {
		case id := <-got:
			handled = append(handled, id)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not handled, only %v", last, handled)
		}
	}
	stop()
	require.NoError(t, <-ended)
	return handled
}

func write(t *testing.T, s *memorystore.Store, id string, change func(*message.Envelope)) {
	t.Helper()
	e, err := message.New(message.KindEvent, message.Headers{ID: id, Type: "T", Stream: "shop::order-1"}, []byte("{}"))
	require.NoError(t, err)
	change(&e)
	_, err = s.Append(t.Context(), e)
	require.NoError(t, err)
}

// L17: batches of which nothing is of the origin asked for do not stop the position.
func TestMessagesOfAnotherOriginDoNotStopTheSubscription(t *testing.T) {
	s := memorystore.New()
	for i := range 45 {
		write(t, s, fmt.Sprint("other-", i), func(e *message.Envelope) { e.Metadata.Domain.OriginStream = "shop::customer-1" })
	}
	write(t, s, "ours", func(e *message.Envelope) { e.Metadata.Domain.OriginStream = "shop::cart-7" })
	c := cfg
	c.OriginStream = "shop::cart"
	require.Equal(t, []string{"ours"}, follow(t, s, c, "ours"))
	state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 46, state.Position)
	require.Empty(t, state.Failed)
}

// L18: a message that cannot be read costs itself alone.
func TestAMessageThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	s := memorystore.New()
	write(t, s, "first", func(*message.Envelope) {})
	write(t, s, "forged", func(e *message.Envelope) { e.Metadata.Integrity.Checksum = "0000" })
	write(t, s, "last", func(*message.Envelope) {})
	c := cfg
	c.SkipChecksums = false
	require.Equal(t, []string{"first", "last"}, follow(t, s, c, "last"))
	state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Position)
	require.Empty(t, state.Failed, "given up")
}

// L23: a failed message that is not in the store any more is not looked for forever.
func TestAFailedMessageThatIsGoneIsResolved(t *testing.T) {
	s := storeWith(t)
	owner, err := s.Own(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Failed: []catchup.Failed{{Position: 99, Attempts: 1}}, Stopped: true}))
	require.NoError(t, owner.Release(t.Context()))
	c := cfg
	c.SkipChecksums = true
	require.Equal(t, []string{"m1"}, follow(t, s, c, "m1"))
	state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.Empty(t, state.Failed)
}

// counted counts what is asked of a store.
type counted struct {
	*memorystore.Store
	asked int
}

func (c *counted) ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error) {
	c.asked++
	return c.Store.ReadCategory(ctx, category, after, max)
}

func (c *counted) Wait(ctx context.Context, category string, after int64, d time.Duration) (bool, error) {
	c.asked++
	return c.Store.Wait(ctx, category, after, d)
}

// L26: a subscription that has nothing to do asks about once a second.
func TestAnIdleSubscriptionDoesNotBusyPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{Store: memorystore.New()}
		src := open(s)
		for began := time.Now(); time.Since(began) < time.Minute; {
			tasks, err := src.Next(t.Context(), 10)
			require.NoError(t, err)
			require.Empty(t, tasks)
		}
		require.Less(t, s.asked, 65)
		require.NoError(t, src.Close(t.Context()))
	})
}
