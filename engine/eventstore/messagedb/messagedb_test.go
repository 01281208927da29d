package messagedb_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(followVariable); url != "" {
		follow(url)
		return
	}
	os.Exit(testserver.Main(m))
}

func open(t *testing.T, db *testserver.PostgresDatabase) *messagedb.Store {
	t.Helper()
	s, err := messagedb.New(messagedb.Config{
		URI: func() (string, error) { return db.URL, nil }, MaxConnections: 8, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// direct is a connection to the database, beside the store.
func direct(t *testing.T, db *testserver.PostgresDatabase) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), "SET search_path TO message_store, public")
	require.NoError(t, err)
	return conn
}

// operator is a connection as psql has it: nothing is set.
func operator(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) func() eventstoretest.Process {
		db := testserver.MessageDB(t)
		return func() eventstoretest.Process {
			s := open(t, db)
			return eventstoretest.Process{Store: s, Die: func() {
				// The sessions end; the process does not know it yet.
				_, err := direct(t, db).Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks
					WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
					ORDER BY pid LIMIT 1`)
				require.NoError(t, err)
			}}
		}
	})
}

// as is an address with another user.
func as(url, user string) string { return strings.Replace(url, "postgres@", user+"@", 1) }
