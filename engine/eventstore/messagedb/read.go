package messagedb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// columns are those of Message-DB's type message.
const columns = "id::varchar, stream_name::varchar, type::varchar, position, global_position, data::varchar, metadata::varchar, time"

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
		var written pgtype.Timestamp // may be infinity
		if err := rows.Scan(&r.ID, &r.Stream, &r.Type, &r.Position, &r.GlobalPosition, (*[]byte)(&r.Data), (*[]byte)(&r.Metadata), &written); err != nil {
			return nil, err
		}
		r.Time = written.Time
	}
	return got, rows.Err()
}
