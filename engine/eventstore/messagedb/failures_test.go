package messagedb_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The stream of failed messages is emptied and its checkpoint kept: what fails after
// that is tried again by the next owner, whether or not the stream has grown beyond
// the checkpoint.
func TestFailuresAreKeptWhereTheirStreamWasEmptied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, empty  string
		before, then int
	}{
		{"fewer rows than before", "DELETE FROM messages WHERE stream_name = 'failed-h-shop::order'", 8, 3},
		{"as many rows", "DELETE FROM messages WHERE stream_name = 'failed-h-shop::order'", 5, 5},
		{"more rows", "DELETE FROM messages WHERE stream_name = 'failed-h-shop::order'", 3, 8},
		{"the end was cut", "DELETE FROM messages WHERE stream_name = 'failed-h-shop::order' AND position > 0", 8, 3},
		{"the watermark is beyond", `UPDATE messages SET data = '{"watermark": 99, "unresolved": {}}' WHERE type = 'Checkpoint'`, 8, 3},
		{"the watermark is far beyond", `UPDATE messages SET data = '{"watermark": 2147483648, "unresolved": {}}' WHERE type = 'Checkpoint'`, 8, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testserver.MessageDB(t)
			conn := direct(t, db)
			var log testlog.Output
			s, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }, Logger: log.Logger()})
			require.NoError(t, err)
			defer s.Close(t.Context())
			for range 30 {
				_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e"))
				require.NoError(t, err)
			}
			own := func() catchup.Ownership {
				t.Helper()
				o, err := s.Own(t.Context(), "h", "shop::order")
				require.NoError(t, err)
				return o
			}
			fail := func(o catchup.Ownership, from, n int) {
				t.Helper()
				for i := range n {
					f := []catchup.Failed{{Position: int64(from + i), Attempts: 1}}
					require.NoError(t, o.Save(t.Context(), catchup.Change{Failed: f}))
				}
			}
			o := own()
			fail(o, 1, c.before)
			require.NoError(t, o.Save(t.Context(), catchup.Change{Resolved: []catchup.Failed{{Position: 1}}}))
			require.NoError(t, o.Release(t.Context()))
			o = own() // writes the checkpoint
			require.Len(t, o.State().Failed, c.before-1)
			require.NotContains(t, log.String(), "reading it from its beginning")
			_, err = conn.Exec(t.Context(), c.empty)
			require.NoError(t, err)
			fail(o, 20, c.then)
			require.NoError(t, o.Release(t.Context()))

			watched := []collector.Watch{{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"}}
			pending := func() float64 {
				figures, err := s.Source("shop", watched).Collect(t.Context())
				require.NoError(t, err)
				require.True(t, figures.Subscriptions[0].Pending.Known)
				return figures.Subscriptions[0].Pending.V
			}
			figure := pending()
			o = own()
			found := map[int64]bool{}
			for _, f := range o.State().Failed {
				found[f.Position] = true
			}
			for i := range c.then {
				require.True(t, found[int64(20+i)], "%d of %v", 20+i, found)
			}
			require.Equal(t, len(found), int(figure))
			require.Equal(t, len(found), int(pending()), "by the checkpoint that follows")
			require.Contains(t, log.String(), "reading it from its beginning")
			require.NoError(t, o.Release(t.Context()))
		})
	}
}

// A stream of failed messages that has grown by very many rows is read page by page,
// and not from its beginning again where the process ends before it is done. How many
// are not settled is unknown until then, and all else is known.
func TestAFailedStreamOfAnyLengthIsRead(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	const rows = 50_500
	_, err := conn.Exec(t.Context(), `INSERT INTO messages (stream_name, position, type, data)
		SELECT 'failed-h-shop::order', i, 'Failed', jsonb_build_object('position', 1 + i % 7, 'retry_count', 0, 'message_type', 'T', 'message_id', 'm',
			'stream_name', 'shop::order-1', 'stream_position', 0) FROM generate_series(0, $1::int - 1) AS i`, rows)
	require.NoError(t, err)
	watched := []collector.Watch{
		{Handler: "h", Subscriber: "h", Group: "h", Stream: "shop::order", Type: "event_store"},
		{Handler: "g", Subscriber: "g", Group: "g", Stream: "shop::order", Type: "event_store"},
	}
	figures, err := s.Source("shop", watched).Collect(t.Context())
	require.NoError(t, err)
	require.False(t, figures.Subscriptions[0].Pending.Known)
	require.True(t, figures.Subscriptions[0].Lag.Known)
	require.Equal(t, collector.Known(0), figures.Subscriptions[1].Pending)

	o, err := s.Own(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	require.Len(t, o.State().Failed, 7)
	require.Equal(t, 3, count(t, conn, "type = 'Checkpoint'"), "two on the way, and one of all")
	require.Equal(t, 1, count(t, conn, fmt.Sprintf("type = 'Checkpoint' AND data->>'watermark' = '%d'", rows)))
	figures, err = s.Source("shop", watched).Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, collector.Known(7), figures.Subscriptions[0].Pending)
	require.NoError(t, o.Release(t.Context()))
}

// A retry writes what changed: a position that is what it was is no row.
func TestARetryWritesNoPositionThatIsWhatItWas(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, other, conn := open(t, db), open(t, db), direct(t, db)
	_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e"))
	require.NoError(t, err)
	o, err := s.Own(t.Context(), "O'Hara", "shop::order")
	require.NoError(t, err)
	require.NoError(t, o.Save(t.Context(), catchup.Change{Position: 1}))
	reads := count(t, conn, "type = 'Read'")
	failed := []catchup.Failed{{Position: 1, Attempts: 1}}
	for range 5 {
		require.NoError(t, o.Save(t.Context(), catchup.Change{Failed: failed}))
	}
	require.Equal(t, reads, count(t, conn, "type = 'Read'"))
	require.Equal(t, 5, count(t, conn, "type = 'Failed'"))

	// One that is the owner no more, and does not know it yet, writes none either.
	_, err = conn.Exec(t.Context(), writeBookkeeping, "position-O'Hara-shop::order", "Read", `{"position": 1}`)
	require.NoError(t, err)
	require.ErrorIs(t, o.Save(t.Context(), catchup.Change{Failed: failed}), catchup.ErrFenced)
	require.Equal(t, 5, count(t, conn, "type = 'Failed'"))
	require.NoError(t, o.Release(t.Context()))
	_, err = other.Own(t.Context(), "O'Hara", "shop::order")
	require.NoError(t, err)
}

// The position is deleted under its owner: what the log says is so, and no other
// process is suspected.
func TestADeletedPositionIsSaidSo(t *testing.T) {
	t.Parallel()
	for _, change := range []catchup.Change{{Position: 2}, {Failed: []catchup.Failed{{Position: 1}}}} {
		db := testserver.MessageDB(t)
		s, conn := open(t, db), direct(t, db)
		o, err := s.Own(t.Context(), "h", "shop::order")
		require.NoError(t, err)
		require.NoError(t, o.Save(t.Context(), catchup.Change{Position: 1}))
		_, err = conn.Exec(t.Context(), "DELETE FROM messages WHERE stream_name = 'position-h-shop::order'")
		require.NoError(t, err)
		err = o.Save(t.Context(), change)
		require.ErrorIs(t, err, catchup.ErrPositionLost)
		require.ErrorIs(t, err, catchup.ErrFenced)
		require.Zero(t, count(t, conn, "type = 'Failed'"))
	}
}
