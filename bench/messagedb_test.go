package main

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/testserver"
)

// BenchmarkMessageDB reads a category of Message-DB to its end, 1,000 messages a
// read: by our store, and by a bare pgx loop over get_category_messages, in turn.
// `×bare` is our rate over the loop's.
func BenchmarkMessageDB(b *testing.B) {
	const messages, page, category = 20_000, 1000, "bench::event"
	ctx := context.Background()
	db := testserver.MessageDB(b)
	conn, err := pgx.Connect(ctx, db.URL)
	require.NoError(b, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "SET search_path TO message_store, public")
	require.NoError(b, err)
	_, err = conn.Exec(ctx, `INSERT INTO messages (position, stream_name, type, data, metadata)
		SELECT n / 100, $1 || '-' || (n % 100), 'Bench.Event.v1', json_build_object('text', repeat('x', 400)), json_build_object('headers', json_build_object('id', 'e-' || n), 'pad', repeat('y', 400))
		FROM generate_series(0, $2::int - 1) n`, category, messages)
	require.NoError(b, err)
	_, err = conn.Exec(ctx, "ANALYZE messages")
	require.NoError(b, err)
	store, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }})
	require.NoError(b, err)
	defer store.Close(ctx)

	bare := func() int {
		n, after := 0, int64(0)
		for {
			rows, err := conn.Query(ctx, "SELECT * FROM get_category_messages($1, $2, $3)", category, after+1, page)
			require.NoError(b, err)
			got := 0
			for rows.Next() {
				var id, stream, typ string
				var position int64
				var data, metadata []byte
				var at time.Time
				require.NoError(b, rows.Scan(&id, &stream, &typ, &position, &after, &data, &metadata, &at))
				got++
			}
			require.NoError(b, rows.Err())
			if n += got; got < page {
				return n
			}
		}
	}
	ours := func() int {
		n, after := 0, int64(0)
		for {
			got, err := store.ReadCategory(ctx, category, after, page)
			require.NoError(b, err)
			if n += len(got); len(got) < page {
				return n
			}
			after = got[len(got)-1].GlobalPosition
		}
	}
	timed := func(read func() int) time.Duration {
		began := time.Now()
		require.Equal(b, messages, read())
		return time.Since(began)
	}
	timed(bare) // both have their statements prepared, and the server its pages
	timed(ours)
	var tookBare, tookOurs time.Duration
	for b.Loop() {
		tookBare += timed(bare)
		tookOurs += timed(ours)
	}
	b.ReportMetric(float64(messages*b.N)/tookBare.Seconds(), "bare-msgs/s")
	b.ReportMetric(float64(messages*b.N)/tookOurs.Seconds(), "msgs/s")
	b.ReportMetric(tookBare.Seconds()/tookOurs.Seconds(), "×bare")
}
