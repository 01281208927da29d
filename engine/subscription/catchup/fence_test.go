package catchup_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// A handler can tell a call of a process that has lost its subscription from one of
// the process that has it now.
func TestAHandlerIsToldTheNumberOfItsOwnership(t *testing.T) {
	s := storeWith(t)
	numbers := make(chan int64, 1)
	next := func() int64 {
		t.Helper()
		c := cfg
		c.SkipChecksums = true
		r, err := subscription.New(c, catchup.Over(s), func(ctx context.Context, m *message.Envelope) error {
			if m.Source.Fence != handler.Fence(ctx) {
				t.Errorf("the message has %d, and the context %d", m.Source.Fence, handler.Fence(ctx))
			}
			numbers <- handler.Fence(ctx)
			return nil
		}, subscription.Environment{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, context.Background()) }()
		number := <-numbers
		stop()
		require.NoError(t, <-ended)
		return number
	}
	first := next()
	require.Positive(t, first)
	appendEvents(t, s, 1)
	require.Greater(t, next(), first)
	require.Zero(t, handler.Fence(t.Context()))
}
