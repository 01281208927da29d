package catchup_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// An event store has no dead-letter queue, and what a handler gives up on there
// must not go unseen.
func TestWhatIsGivenUpOnIsCountedWithItsReason(t *testing.T) {
	s := memorystore.New()
	for _, typ := range []string{"Bad", "Never", "Gone", "Good"} {
		e, err := message.New(message.KindCommand, message.Headers{ID: typ, Type: typ, Stream: "shop::order:command-1"}, []byte("{}"))
		require.NoError(t, err)
		_, err = s.Append(t.Context(), e)
		require.NoError(t, err)
	}
	handled := make(chan struct{}, 1)
	routes := []handler.Route{
		{Type: "Bad", Func: func(context.Context, *message.Envelope) error { return errors.New("failed") }},
		{Type: "Never", Func: func(context.Context, *message.Envelope) error { return handler.Reject(errors.New("no")) }},
		{Type: "Good", Func: func(context.Context, *message.Envelope) error { handled <- struct{}{}; return nil }},
	}
	c := subscription.Config{Handler: "h", Stream: "shop::order:command", DeadLetters: true, SkipChecksums: true, Order: subscription.OrderStream}
	c.Retry.MaxAttempts = 1
	r, err := subscription.New(c, catchup.Over(s), handler.Dispatch(handler.KindCommand, routes), subscription.Environment{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	counted := func() map[string]int64 {
		counted := map[string]int64{}
		for _, m := range subscription.Metrics([]*subscription.Runner{r}) {
			if m.Name == "protean.subscription.dlq_routed" {
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					reason, _ := p.Attributes.Value("reason")
					counted[reason.AsString()] = p.Value
				}
			}
		}
		return counted
	}
	none := map[string]int64{"rejected": 0, "exhausted": 0, "undecodable": 0, "unhandled": 0, "poison": 0}
	require.Equal(t, none, counted(), "from the start, or the first one is invisible")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, context.Background()) }()
	<-handled
	stop()
	require.NoError(t, <-ended)
	require.Equal(t, map[string]int64{"rejected": 1, "exhausted": 1, "undecodable": 0, "unhandled": 1, "poison": 0}, counted())
}
