package messagedb_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

const writeRow = "SELECT write_message(gen_random_uuid()::varchar, $1, 'T', '{}')"

// gapped is a store that examines the transactions at a gap after a time-out, and
// what writes to it.
func gapped(t *testing.T, timeout time.Duration) (s *messagedb.Store, begin func(sql string, args ...any) pgx.Tx, write func(stream string), leaveGap func()) {
	t.Helper()
	db := testserver.MessageDB(t)
	s, err := messagedb.New(messagedb.Config{
		URI: func() (string, error) { return db.URL, nil }, GapTimeout: timeout, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	begin = func(sql string, args ...any) pgx.Tx {
		t.Helper()
		tx, err := direct(t, db).Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
		return tx
	}
	write = func(stream string) {
		t.Helper()
		require.NoError(t, begin(writeRow, stream).Commit(t.Context()))
	}
	leaveGap = func() {
		t.Helper()
		require.NoError(t, begin(writeRow, "gone-1").Rollback(t.Context()))
	}
	return s, begin, write, leaveGap
}

// readAllOnce reads what may be read of all messages now.
func readAllOnce(t *testing.T, s *messagedb.Store, after int64) (positions []int64) {
	t.Helper()
	got, err := s.ReadCategory(t.Context(), catchup.All, after, 1000)
	require.NoError(t, err)
	for _, r := range got {
		positions = append(positions, r.GlobalPosition)
	}
	return positions
}

// Position 1 is taken by a transaction that is open while position 2 commits.
func TestAMessageThatCommitsLateIsNotSkipped(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	ctx := t.Context()
	const write = "SELECT write_message(gen_random_uuid()::varchar, $1, 'T', '{}')"
	writer, other := direct(t, db), direct(t, db)
	late, err := writer.Begin(ctx)
	require.NoError(t, err)
	_, err = late.Exec(ctx, write, "a-1")
	require.NoError(t, err)
	_, err = other.Exec(ctx, write, "b-1")
	require.NoError(t, err)

	got, err := s.ReadCategory(ctx, catchup.All, 0, 10)
	require.NoError(t, err)
	require.Empty(t, got, "position 1 may still come")
	result := make(chan []message.Recorded, 1)
	go func() {
		got, err := s.ReadCategory(ctx, catchup.All, 0, 10)
		if err != nil {
			t.Error(err)
		}
		result <- got
	}()
	require.NoError(t, late.Commit(ctx))
	require.Len(t, <-result, 2)

	// What is rolled back holds up what comes after it no longer than its
	// transaction.
	late, err = writer.Begin(ctx)
	require.NoError(t, err)
	_, err = late.Exec(ctx, write, "a-1")
	require.NoError(t, err)
	_, err = other.Exec(ctx, write, "b-1")
	require.NoError(t, err)
	require.NoError(t, late.Rollback(ctx))
	got, err = s.ReadCategory(ctx, catchup.All, 2, 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.EqualValues(t, 4, got[0].GlobalPosition)
}

// A transaction that begins after a message above the gap was seen cannot fill it.
func TestAGapThatWasSeenBeforeDoesNotWaitForLaterTransactions(t *testing.T) {
	t.Parallel()
	s, begin, write, leaveGap := gapped(t, time.Hour)
	first := begin(writeRow, "a-1") // 1
	leaveGap()                      // 2
	write("b-1")                    // 3
	require.Empty(t, readAllOnce(t, s, 0))
	later := begin(writeRow, "c-1") // 4
	require.NoError(t, first.Commit(t.Context()))
	require.Equal(t, []int64{1, 3}, readAllOnce(t, s, 0))
	write("b-1") // 5
	require.Equal(t, []int64{}, append([]int64{}, readAllOnce(t, s, 3)...), "4 may still come")
	require.NoError(t, later.Commit(t.Context()))
	require.Equal(t, []int64{4, 5}, readAllOnce(t, s, 3))
}

// Transactions that are open for long and have not taken what is missing are found
// out, whatever they do; one that has taken it is waited for as long as it takes.
func TestAnOldGapDoesNotWaitForATransactionThatHasNotTakenIt(t *testing.T) {
	t.Parallel()
	s, begin, write, leaveGap := gapped(t, 50*time.Millisecond)
	write("a-1")                           // 1
	leaveGap()                             // 2
	leaveGap()                             // 3
	write("a-1")                           // 4
	imports := begin(writeRow, "import-1") // 5
	purge := begin("DELETE FROM messages WHERE stream_name = 'gone-1'")
	write("a-1") // 6
	require.Equal(t, []int64{1}, readAllOnce(t, s, 0))
	require.Equal(t, []int64{4}, readAllOnce(t, s, 1), "up to the next gap")
	require.Empty(t, readAllOnce(t, s, 4), "5 is taken")
	require.Empty(t, readAllOnce(t, s, 4))
	_, err := imports.Exec(t.Context(), writeRow, "import-1") // 7
	require.NoError(t, err)
	write("a-1") // 8
	require.Empty(t, readAllOnce(t, s, 4))
	require.NoError(t, imports.Commit(t.Context()))
	require.Equal(t, []int64{5, 6, 7, 8}, readAllOnce(t, s, 4))
	require.NoError(t, purge.Commit(t.Context()))
	require.Equal(t, []int64{1, 4, 5, 6, 7, 8}, readAllOnce(t, s, 0), "the probes left nothing")
}

// A statement that is under way may have taken a position that is in no index yet.
func TestAGapWaitsForAStatementThatIsUnderWay(t *testing.T) {
	t.Parallel()
	s, begin, write, leaveGap := gapped(t, 50*time.Millisecond)
	lock := begin("SELECT pg_advisory_xact_lock(4711)")
	under := begin(writeRow, "slow-1") // 1
	done := make(chan error, 1)
	go func() {
		_, err := under.Exec(context.Background(), "SELECT pg_advisory_xact_lock(4711)")
		done <- err
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		require.NoError(t, lock.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waiting))
		return waiting
	}, 10*time.Second, 10*time.Millisecond)
	leaveGap()   // 2
	write("a-1") // 3
	require.Empty(t, readAllOnce(t, s, 1))
	require.NoError(t, lock.Rollback(t.Context()))
	require.NoError(t, <-done)
	require.Equal(t, []int64{3}, readAllOnce(t, s, 1))
	require.NoError(t, under.Commit(t.Context()))
}

// Writers of many categories roll back, or stay open for a while, one of them for
// all of the time: nothing is passed that is committed later.
func TestNoMessageIsPassedWhileManyTransactionsAreOpen(t *testing.T) {
	t.Parallel()
	s, begin, write, _ := gapped(t, 20*time.Millisecond)
	write("a-1")
	long := begin(writeRow, "long-1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const writers, each = 6, 25
	done := make(chan error, writers)
	for w := range writers {
		conns := begin("SELECT 1").Conn()
		go func() {
			_, err := conns.Exec(ctx, "ROLLBACK")
			for i := 0; i < each && err == nil; i++ {
				var tx pgx.Tx
				if tx, err = conns.Begin(ctx); err != nil {
					break
				}
				for range 1 + (w+i)%3 {
					if _, err = tx.Exec(ctx, writeRow, string(rune('a'+w))+"-1"); err != nil {
						break
					}
				}
				if (w+i)%4 == 0 {
					err = tx.Rollback(ctx)
				} else if err == nil {
					err = tx.Commit(ctx)
				}
			}
			done <- err
		}()
	}
	var seen []int64
	after := int64(0)
	follow := func() {
		got, err := s.ReadCategory(ctx, catchup.All, after, 5)
		require.NoError(t, err)
		for _, r := range got {
			after = r.GlobalPosition
			seen = append(seen, after)
		}
	}
	ended := 0
	for ended < writers {
		select {
		case err := <-done:
			require.NoError(t, err)
			ended++
		default:
			follow()
		}
	}
	require.NoError(t, long.Commit(ctx))
	var all []int64
	rows, err := begin("SELECT 1").Query(ctx, "SELECT global_position FROM messages ORDER BY global_position")
	require.NoError(t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	for len(seen) < len(all) && ctx.Err() == nil {
		follow()
	}
	require.Equal(t, all, seen)
}
