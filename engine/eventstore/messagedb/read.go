package messagedb

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// columns are those of Message-DB's type message.
const columns = "id::varchar, stream_name::varchar, type::varchar, position, global_position, data::varchar, metadata::varchar, time"

// gapWait is how long a read of all messages waits for the writers that may fill a
// gap, looking each gapPause, and gapWarning after how long they are named in the
// log.
const (
	gapWait    = time.Second
	gapPause   = 20 * time.Millisecond
	gapWarning = 5 * time.Second
)

// ReadCategory implements [catchup.Log]. Within a category positions appear in
// their order, since a writer holds a lock on it until its commit.
func (s *Store) ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error) {
	if category == catchup.All {
		return s.readAll(ctx, after, max)
	}
	return s.query(ctx, max, "SELECT * FROM get_category_messages($1, $2, $3)", category, after+1, max)
}

// ReadAt implements [catchup.Log].
func (s *Store) ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error) {
	return s.query(ctx, len(positions),
		"SELECT "+columns+" FROM messages WHERE global_position = ANY($1) AND ($2 = '"+catchup.All+"' OR category(stream_name) = $2) ORDER BY global_position",
		positions, category)
}

// ReadStream returns up to max messages of a stream, from a position on.
func (s *Store) ReadStream(ctx context.Context, stream string, from int64, max int) ([]message.Recorded, error) {
	return s.query(ctx, max, "SELECT * FROM get_stream_messages($1, $2, $3)", stream, from, max)
}

// LastMessage returns the last message of a stream, and whether there is one.
func (s *Store) LastMessage(ctx context.Context, stream string) (message.Recorded, bool, error) {
	got, err := s.query(ctx, 1, "SELECT * FROM get_last_stream_message($1)", stream)
	if err != nil || len(got) == 0 {
		return message.Recorded{}, false, err
	}
	return got[0], true, nil
}

func (s *Store) query(ctx context.Context, capacity int, sql string, args ...any) (got []message.Recorded, err error) {
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		got, err = read(ctx, conn, capacity, sql, args...)
		return err
	})
	return got, err
}

func read(ctx context.Context, conn *pgx.Conn, capacity int, sql string, args ...any) ([]message.Recorded, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var got []message.Recorded
	for rows.Next() {
		if got == nil {
			got = make([]message.Recorded, 0, min(capacity, 1000))
		}
		got = append(got, message.Recorded{})
		r := &got[len(got)-1]
		if err := rows.Scan(&r.ID, &r.Stream, &r.Type, &r.Position, &r.GlobalPosition, (*[]byte)(&r.Data), (*[]byte)(&r.Metadata), &r.Time); err != nil {
			return nil, err
		}
	}
	return got, rows.Err()
}

// readAll reads all messages. A position may be missing because its writer has
// not committed yet: what is above it is returned only when that can be so no
// more, which is when all are gone that were writing when it was found missing.
func (s *Store) readAll(ctx context.Context, after int64, max int) (got []message.Recorded, err error) {
	const sql = "SELECT " + columns + " FROM messages WHERE global_position > $1 ORDER BY global_position LIMIT $2"
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if got, err = read(ctx, conn, max, sql, after, max); err != nil {
			return err
		}
		whole := contiguous(after, got)
		if whole == len(got) {
			return nil
		}
		writers, err := writersOf(ctx, conn)
		if err != nil {
			return err
		}
		if whole > 0 && len(writers) > 0 {
			got = got[:whole]
			return nil
		}
		last := got[len(got)-1].GlobalPosition
		if gone, err := s.outlast(ctx, conn, writers, after+1); err != nil || !gone {
			got = nil
			return err
		}
		got, err = read(ctx, conn, max, sql, after, max)
		for i, r := range got {
			if r.GlobalPosition > last { // what is missing between these is not known to be final
				got = got[:i]
				break
			}
		}
		return err
	})
	return got, err
}

// contiguous is how many messages follow each other without a gap.
func contiguous(after int64, got []message.Recorded) int {
	for i, r := range got {
		if r.GlobalPosition != after+1+int64(i) {
			return i
		}
	}
	return len(got)
}

// writersOf are the transactions that have written messages, or are about to:
// each takes this lock before its position.
func writersOf(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT virtualtransaction FROM pg_locks
		WHERE relation = 'messages'::regclass AND mode = 'RowExclusiveLock'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// outlast waits until writers are gone, for gapWait at most.
func (s *Store) outlast(ctx context.Context, conn *pgx.Conn, writers []string, gap int64) (gone bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, gapWait)
	defer cancel()
	for len(writers) > 0 {
		if !retry.Sleep(bounded, gapPause) {
			s.warnGap(gap, writers)
			return false, nil
		}
		now, err := writersOf(ctx, conn)
		if err != nil {
			return false, err
		}
		writers = slices.DeleteFunc(writers, func(w string) bool { return !slices.Contains(now, w) })
	}
	return true, nil
}

// warnGap says once which transactions hold up the reading of all messages for
// long.
func (s *Store) warnGap(gap int64, writers []string) {
	s.gapMu.Lock()
	defer s.gapMu.Unlock()
	switch {
	case s.gap != gap:
		s.gap, s.gapSince = gap, time.Now()
	case !s.gapSince.IsZero() && time.Since(s.gapSince) >= gapWarning:
		s.gapSince = time.Time{}
		s.log.Warn("a position is missing while transactions that write messages are open; reading all messages waits for them",
			"position", gap, "virtual_transactions", writers)
	}
}
