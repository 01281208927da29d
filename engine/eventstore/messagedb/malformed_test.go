package messagedb_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// What Python, or a hand, wrote into the streams of a subscription.
const writeBookkeeping = "SELECT write_message(gen_random_uuid()::varchar, $1, $2, $3::text::jsonb)"

// A subscription whose last position cannot be read must not handle everything
// again without a word, and holds up no other.
func TestAPositionThatCannotBeReadIsAnErrorWithTheWayOut(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{}`, `{"position": null}`, `{"position": "seven"}`, `{"position": 1.5}`, `[]`, `null`} {
		t.Run(data, func(t *testing.T) {
			t.Parallel()
			db := testserver.MessageDB(t)
			s := open(t, db)
			ctx := t.Context()
			for range 3 {
				_, err := s.Append(ctx, eventstoretest.Event(t, "shop::order-1", "e"))
				require.NoError(t, err)
			}
			conn := direct(t, db)
			_, err := conn.Exec(ctx, writeBookkeeping, "position-O'Hara-shop::order", "Read", data)
			require.NoError(t, err)

			watch := func(name string) collector.Watch {
				return collector.Watch{Handler: name, Subscriber: name, Group: name, Stream: "shop::order", Type: "event_store"}
			}
			source := s.Source("shop", []collector.Watch{watch("O'Hara"), watch("Other")})
			figures, err := source.Collect(ctx)
			require.ErrorContains(t, err, "the last row of stream position-O'Hara-shop::order has no position")
			require.False(t, figures.Subscriptions[0].Lag.Known, "unknown is not zero")
			require.Equal(t, collector.Known(3), figures.Subscriptions[1].Lag)

			_, err = s.Own(ctx, "O'Hara", "shop::order")
			require.ErrorContains(t, err, "has no position")
			_, statement, found := strings.Cut(err.Error(), "0 for none: ")
			require.True(t, found)
			_, err = conn.Exec(ctx, statement)
			require.NoError(t, err)
			owner, err := s.Own(ctx, "O'Hara", "shop::order")
			require.NoError(t, err)
			require.Zero(t, owner.State().Position)
			_, err = source.Collect(ctx)
			require.NoError(t, err)
		})
	}
}

// One row of a failed message that cannot be read costs itself alone.
func TestAFailedRowThatCannotBeReadIsLeftOut(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	ctx := t.Context()
	for range 3 {
		_, err := s.Append(ctx, eventstoretest.Event(t, "shop::order-1", "e"))
		require.NoError(t, err)
	}
	conn := direct(t, db)
	for _, row := range [][3]string{
		{"failed-h-shop::order", "Failed", `{"position": 2, "retry_count": 0, "message_id": "e", "stream_name": "shop::order-1", "stream_position": 1}`},
		{"failed-h-shop::order", "Failed", `{}`},
		{"failed-h-shop::order", "Failed", `{"position": "x", "retry_count": []}`},
		{"failed-h-shop::order", "Resolved", `null`},
		{"failed-h-shop::order", "Exhausted", `{"position": 3}`},
		{"recovery-checkpoint-h-shop::order", "Checkpoint", `{"watermark": 4, "unresolved": [1]}`},
		{"position-h-shop::order", "Read", `{"position": 3}`},
	} {
		_, err := conn.Exec(ctx, writeBookkeeping, row[0], row[1], row[2])
		require.NoError(t, err)
	}
	source := s.Source("shop", []collector.Watch{{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"}})
	figures, err := source.Collect(ctx)
	require.NoError(t, err)
	f := figures.Subscriptions[0]
	require.Equal(t, collector.Known(0), f.Lag)
	require.Equal(t, collector.Known(1), f.Pending)
	require.Equal(t, collector.Known(1), f.DeadLetters)

	owner, err := s.Own(ctx, "h", "shop::order")
	require.NoError(t, err)
	require.Len(t, owner.State().Failed, 1)
	require.EqualValues(t, 2, owner.State().Failed[0].Position)
	require.NoError(t, owner.Save(ctx, catchup.Change{Resolved: owner.State().Failed, Stopped: true}))
	require.NoError(t, owner.Release(ctx))
	owner, err = s.Own(ctx, "h", "shop::order") // by a checkpoint of its own
	require.NoError(t, err)
	require.Empty(t, owner.State().Failed)
	require.EqualValues(t, 3, owner.State().Position)
}
