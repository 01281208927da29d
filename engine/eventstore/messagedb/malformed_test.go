package messagedb_test

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

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
	for _, data := range []string{`{}`, `{"position": null}`, `{"position": "seven"}`, `{"position": "12"}`, `{"position": 9223372036854775808}`, `{"position": 1.5}`, `[]`, `null`} {
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
			_, err = operator(t, as(db.URL, "message_store")).Exec(ctx, statement)
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
		{"recovery-checkpoint-h-shop::order", "Checkpoint", `{"watermark": -9223372036854775808, "unresolved": {}}`},
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

// What a row says of calls may be any number: the message is called again, or given
// up on, and its subscription goes on.
func TestNumbersOfCallsAreBounded(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	for _, row := range []string{
		`{"position": 1, "retry_count": 9223372036854775807}`,
		`{"position": 2, "retry_count": -9223372036854775808}`,
		`{"position": 3, "retry_count": 0, "attempts": -5}`,
		`{"position": 4, "retry_count": 0, "attempts": 9223372036854775807}`,
		`{"position": 5, "retry_count": -1}`,
		`{"position": 6, "retry_count": 2}`,
	} {
		_, err := conn.Exec(t.Context(), writeBookkeeping, "failed-h-shop::order", "Failed", row)
		require.NoError(t, err)
	}
	state, err := s.LoadPosition(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	var attempts []int
	for _, f := range state.Failed {
		attempts = append(attempts, f.Attempts)
	}
	require.Equal(t, []int{math.MaxInt32, 0, 0, math.MaxInt32, 0, 3}, attempts)
}

// A position of 19 digits is one to the collector as it is to the owner, which both
// refuse until it is set, whatever is written meanwhile.
func TestAPositionIsAheadToTheCollectorAsToTheOwner(t *testing.T) {
	t.Parallel()
	for _, position := range []string{"5", "9223372036854775807"} {
		db := testserver.MessageDB(t)
		s, conn := open(t, db), direct(t, db)
		_, err := conn.Exec(t.Context(), writeBookkeeping, "position-h-shop::order", "Read", `{"position": `+position+`}`)
		require.NoError(t, err)
		source := s.Source("shop", []collector.Watch{{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"}})
		for range 9 {
			_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e"))
			require.NoError(t, err)
			figures, err := source.Collect(t.Context())
			require.NoError(t, err)
			require.Equal(t, collector.Known(1), figures.Subscriptions[0].PositionAhead)
			_, err = s.Own(t.Context(), "h", "shop::order")
			require.ErrorContains(t, err, "is beyond the event store's head")
		}
		_, err = s.Own(t.Context(), "h", "shop::order")
		_, statement, _ := strings.Cut(err.Error(), "0 for none: ")
		_, err = operator(t, db.URL).Exec(t.Context(), statement)
		require.NoError(t, err)
		figures, err := source.Collect(t.Context())
		require.NoError(t, err)
		require.Equal(t, collector.Known(0), figures.Subscriptions[0].PositionAhead)
		_, err = s.Own(t.Context(), "h", "shop::order")
		require.NoError(t, err)
	}
}

// One row whose time is no time stops neither its category nor those who read all
// messages, nor the figures.
func TestATimeThatIsInfiniteStopsNothing(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	for _, id := range []string{"e-1", "e-2", "e-3"} {
		_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", id))
		require.NoError(t, err)
	}
	_, err := conn.Exec(t.Context(), "UPDATE messages SET time = CASE position WHEN 0 THEN 'infinity'::timestamp ELSE '-infinity' END WHERE position < 2")
	require.NoError(t, err)
	for _, category := range []string{"shop::order", catchup.All} {
		got, err := s.ReadCategory(t.Context(), category, 0, 10)
		require.NoError(t, err)
		require.Len(t, got, 3)
		require.True(t, got[0].Time.IsZero())
		require.WithinDuration(t, time.Now(), got[2].Time, time.Minute)
	}
	figures, err := s.Source("shop", []collector.Watch{{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"}}).Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, collector.Known(3), figures.Subscriptions[0].Lag)
	require.False(t, figures.Subscriptions[0].LagSeconds.Known, "unknown is not zero")
}

// The statement by which docs/operations.md has a message tried again works for any
// user with the role.
func TestTheStatementOfTheDocumentationWorks(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	_, statement, found := strings.Cut(string(page), "has the next run of the subscription try it again:\n\n```sql\n")
	require.True(t, found)
	statement, _, _ = strings.Cut(statement, "```")
	for _, user := range []string{"postgres", "message_store"} {
		db := testserver.MessageDB(t)
		s, conn := open(t, db), direct(t, db)
		_, err := conn.Exec(t.Context(), writeBookkeeping, "failed-OrderReport-shop::order", "Exhausted", `{"position": 4711, "retry_count": 3, "attempts": 4}`)
		require.NoError(t, err)
		_, err = operator(t, as(db.URL, user)).Exec(t.Context(), statement)
		require.NoError(t, err)
		state, err := s.LoadPosition(t.Context(), "OrderReport", "shop::order")
		require.NoError(t, err)
		require.Equal(t, []catchup.Failed{{Position: 4711}}, state.Failed)
	}
}
