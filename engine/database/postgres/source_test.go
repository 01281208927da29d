package postgres

import (
	"bytes"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/testserver"
)

// pythonOutbox fills a database with the outbox that a real Protean left: eight
// rows of it are pending.
func pythonOutbox(t *testing.T, db *testserver.PostgresDatabase) {
	t.Helper()
	db.MakeOutbox(t, 0)
	rows, err := os.ReadFile("testdata/outbox-rows.jsonl")
	require.NoError(t, err)
	for line := range bytes.Lines(rows) {
		execute(t, db.URL, "INSERT INTO public.outbox SELECT * FROM json_populate_record(NULL::public.outbox, $1)", line)
	}
}

func pending(t *testing.T, s collector.Source) []collector.Outbox {
	t.Helper()
	figures, err := s.Collect(t.Context())
	require.NoError(t, err)
	return figures.Outboxes
}

func are(n float64) []collector.Outbox {
	return []collector.Outbox{{Domain: "shop", Pending: collector.Known(n)}}
}

func TestPendingRowsOfPythonsOutboxAreCountedForAllBrokers(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	pythonOutbox(t, db)
	s := open(t, db.URL).Source("shop", "default")
	require.Equal(t, "database:default", s.Name())
	require.Equal(t, are(8), pending(t, s))

	execute(t, db.URL, `ALTER TABLE outbox ALTER target_broker DROP NOT NULL;
		UPDATE outbox SET target_broker = NULL WHERE status = 'pending'`)
	require.Equal(t, are(8), pending(t, s), "the broker's name is not always written")
}

func TestOurOwnOutboxIsCountedToo(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	s := open(t, db.URL).Source("shop", "default")
	execute(t, db.URL, "CREATE TABLE observatory_outbox AS SELECT 'pending' AS status FROM generate_series(1, 3)")
	require.Equal(t, are(3), pending(t, s))
	pythonOutbox(t, db)
	require.Equal(t, are(11), pending(t, s))
}

func TestWithoutAnOutboxThereIsNoSample(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	require.Empty(t, pending(t, open(t, db.URL).Source("shop", "default")))
	pythonOutbox(t, db)
	elsewhere := open(t, db.URL, func(c *Config) { c.Schema = `Bill"ing` })
	require.Empty(t, pending(t, elsewhere.Source("shop", "default")), "the outbox of another schema is not ours")
	execute(t, db.URL, `CREATE SCHEMA "Bill""ing"; CREATE TABLE "Bill""ing".outbox (status text)`)
	require.Equal(t, are(0), pending(t, elsewhere.Source("shop", "default")))
}

func TestCountingTheOutboxStops(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	execute(t, db.URL, `CREATE TABLE outbox AS SELECT 'pending' AS status FROM generate_series(1, 60000);
		CREATE TABLE observatory_outbox AS TABLE outbox`)
	require.Equal(t, are(100_001), pending(t, open(t, db.URL).Source("shop", "default")))
}

func TestPoolFiguresAreKnownWhenTheOutboxIsNot(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	pythonOutbox(t, db)
	proxy, uri := through(t, db)
	d := open(t, uri, withPool(2, 1))
	borrow(t, d, 1)
	s := d.Source("shop", "default")
	pool := []collector.Pool{{
		Domain: "shop", Provider: "default", DatabaseType: "postgresql", Size: 2, CheckedOut: 1, Overflow: -1,
	}}
	require.Equal(t, are(8), pending(t, s))

	migration, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer migration.Close(t.Context())
	_, err = migration.Exec(t.Context(), "BEGIN; LOCK TABLE outbox")
	require.NoError(t, err)
	figures, err := s.Collect(t.Context())
	require.ErrorContains(t, err, "lock timeout")
	require.Equal(t, collector.Figures{Pools: pool}, figures)
	_, err = migration.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.Equal(t, are(8), pending(t, s))

	proxy.Down()
	figures, err = s.Collect(t.Context())
	require.ErrorContains(t, err, `database "default": count the outbox: failed to connect`)
	require.Equal(t, collector.Figures{Pools: pool}, figures)
}

func TestOutboxOfAnotherDatabaseIsNoFigureOfTheDomain(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	pythonOutbox(t, db)
	figures, err := open(t, db.URL).Source("shop", "reports").Collect(t.Context())
	require.NoError(t, err)
	require.Len(t, figures.Pools, 1)
	require.Empty(t, figures.Outboxes)
}
