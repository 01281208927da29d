package messagedb_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A store cannot be purged, and a Python engine would take such rows for failures.
func TestASubscriptionThatOnlySucceedsWritesNoFailures(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	const messages = 1000
	for i := range messages {
		_, err := s.Append(t.Context(), eventstoretest.Event(t, fmt.Sprint("shop::order-", i%12), fmt.Sprint("e-", i)))
		require.NoError(t, err)
	}
	var left sync.WaitGroup
	left.Add(messages)
	c := subscription.Config{Handler: "h", Stream: "shop::order", MessagesPerTick: 10, Concurrency: 16}
	r, err := subscription.New(c.WithDefaults(), catchup.Over(s), func(context.Context, *message.Envelope) error {
		time.Sleep(time.Millisecond) // so that there is always something under way
		left.Done()
		return nil
	}, subscription.Environment{Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, context.Background()) }()
	left.Wait()
	stop()
	require.NoError(t, <-ended)
	require.Zero(t, count(t, conn, "type IN ('Failed', 'Resolved')"))
}
