package messagedb_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// fill adds n events to the streams of a category, past the functions of Message-DB.
func fill(t *testing.T, conn *pgx.Conn, category string, n int) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `INSERT INTO messages (position, stream_name, type, data, metadata)
		SELECT i / 100, $1 || '-' || (i % 100), 'T', '{}', '{}' FROM generate_series(0, $2::int - 1) i`, category, n)
	require.NoError(t, err)
}

// L30 of the reference: there each scrape read the newest rows of the whole store, a
// million at most, until one of the category came, and knew nothing beyond. Statistics
// of the table may be missing or old.
func TestFiguresCostNoMoreThanWhatTheyTellWhateverTheStoreHolds(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	conn := direct(t, db)
	const others, behind = 50_000, 50
	fill(t, conn, "shop::payment", others)
	fill(t, conn, "shop::order", behind)
	fill(t, conn, "shop::refund", others)
	s := open(t, db)
	owner, err := s.Own(t.Context(), "shop.Refunds", "shop::refund")
	require.NoError(t, err)
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 2*others + behind}))

	watch := func(name, category string) collector.Watch {
		return collector.Watch{Handler: name, Subscriber: "shop." + name, Group: "shop." + name, Stream: category, Type: "event_store"}
	}
	for _, prepare := range []string{"SELECT", "ANALYZE messages"} {
		_, err := conn.Exec(t.Context(), prepare)
		require.NoError(t, err)
		before, sessions := rowsRead(t, conn), sessionsOf(t, conn)
		observer := open(t, db)
		figures, err := observer.Source("shop", []collector.Watch{watch("Orders", "shop::order"), watch("Refunds", "shop::refund"), watch("Idle", "shop::nothing")}).Collect(t.Context())
		require.NoError(t, err)
		require.Equal(t, []collector.Value{collector.Known(behind), collector.Known(0), collector.Known(0)},
			[]collector.Value{figures.Subscriptions[0].Lag, figures.Subscriptions[1].Lag, figures.Subscriptions[2].Lag})
		require.NoError(t, observer.Close(context.Background())) // its session reports then what it has read
		require.Eventually(t, func() bool { return sessionsOf(t, conn) <= sessions }, 20*time.Second, 10*time.Millisecond)
		require.Less(t, rowsRead(t, conn)-before, 1000, prepare)
	}
}

// rowsRead is how many rows and index entries of the messages were read by sessions
// that have ended.
func rowsRead(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'messages') +
		(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'messages')`).Scan(&n))
	return n
}

// sessionsOf is how many sessions the database has.
func sessionsOf(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").Scan(&n))
	return n
}

// L12: there the error of a connection was an AttributeError.
func TestAServerThatIsDownIsNamed(t *testing.T) {
	t.Parallel()
	address := testserver.FreeAddress(t)
	s, err := messagedb.New(messagedb.Config{
		URI: func() (string, error) { return "postgresql://me:hunter2@" + address + "/shop", nil }, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	_, owning := s.Own(t.Context(), "h", "shop::order")
	_, reading := s.ReadCategory(t.Context(), "shop::order", 0, 1)
	for _, err := range []error{s.Ping(t.Context()), owning, reading} {
		require.ErrorContains(t, err, "event store")
		require.ErrorContains(t, err, address)
		require.ErrorContains(t, err, "connection refused")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// L23: there 10,000 rows of failed messages were read at a start, and failures recorded
// in later ones forgotten.
func TestFailedMessagesAreFoundAmongAnyNumberOfRows(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	const settled = 12_000
	_, err := conn.Exec(t.Context(), `INSERT INTO messages (position, stream_name, type, data, metadata)
		SELECT i, 'failed-h-shop::order', CASE i % 2 WHEN 0 THEN 'Failed' ELSE 'Resolved' END, jsonb_build_object('position', i / 2 + 1), '{}' FROM generate_series(0, $1::int - 1) i`, settled)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `SELECT write_message(gen_random_uuid()::varchar, 'failed-h-shop::order', 'Failed', '{"position": 7, "retry_count": 1}')`)
	require.NoError(t, err)
	owner, err := s.Own(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	require.Len(t, owner.State().Failed, 1)
	require.EqualValues(t, 7, owner.State().Failed[0].Position, fmt.Sprint(owner.State()))
	require.NoError(t, owner.Release(t.Context()))
}
