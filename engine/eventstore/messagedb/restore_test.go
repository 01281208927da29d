package messagedb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The store is replaced by an earlier state of it while its process runs, and idles:
// what is written next is handled, and the log says what happened.
func TestAStoreThatIsRestoredUnderARunningProcessIsReadOn(t *testing.T) {
	t.Parallel()
	for _, category := range []string{"shop::order", catchup.All} {
		t.Run(category, func(t *testing.T) {
			t.Parallel()
			db := testserver.MessageDB(t)
			s, conn := open(t, db), direct(t, db)
			handled := make(chan string, 100)
			var log testlog.Output
			runLogging(t, s, category, log.Logger(), func(_ context.Context, m *message.Envelope) error {
				handled <- m.Metadata.Headers.ID
				return nil
			})
			next := func() string {
				t.Helper()
				select {
				case id := <-handled:
					return id
				case <-time.After(10 * time.Second):
					t.Fatal("nothing is handled: ", log.String())
					return ""
				}
			}
			for _, id := range []string{"e-1", "e-2", "e-3"} {
				_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", id))
				require.NoError(t, err)
				require.Equal(t, id, next())
			}
			require.Eventually(t, func() bool { return count(t, conn, `data->>'position' = '4'`) == 1 }, 10*time.Second, 10*time.Millisecond, "saved")
			_, err := conn.Exec(t.Context(), "TRUNCATE messages RESTART IDENTITY")
			require.NoError(t, err)
			require.Eventually(t, func() bool { return strings.Contains(log.String(), "the store was restored, or is another one") }, 5*time.Second, 10*time.Millisecond)
			_, err = s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e-4"))
			require.NoError(t, err)
			require.Equal(t, "e-4", next())
		})
	}
}

// A restore that kept the positions and lost messages holds the subscription up, as
// a figure says, until the position is set.
func TestAPositionBeyondTheHeadIsAFigure(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	_, err := conn.Exec(t.Context(), writeBookkeeping, "position-h-shop::order", "Read", `{"position": 9000}`)
	require.NoError(t, err)
	watched := []collector.Watch{{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"}}
	read := func() collector.Figures {
		t.Helper()
		figures, err := s.Source("shop", watched).Collect(t.Context())
		require.NoError(t, err)
		return figures
	}
	require.Equal(t, collector.Known(1), read().Subscriptions[0].PositionAhead)
	require.Equal(t, []collector.EventStore{{Domain: "shop", Head: collector.Known(1)}}, read().EventStores)
	_, err = conn.Exec(t.Context(), writeBookkeeping, "position-h-shop::order", "Read", `{"position": 0}`)
	require.NoError(t, err)
	require.Equal(t, collector.Known(0), read().Subscriptions[0].PositionAhead)
}
