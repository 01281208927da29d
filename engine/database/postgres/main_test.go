package postgres

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

func fixed(uri string) func() (string, error) { return func() (string, error) { return uri, nil } }

// open returns a Database called "default", closed with the test.
func open(t *testing.T, uri string, change ...func(*Config)) *Database {
	t.Helper()
	c := Config{Name: "default", URI: fixed(uri)}
	for _, f := range change {
		f(&c)
	}
	d, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, d.Close(ctx))
	})
	return d
}

func withPool(size, overflow int) func(*Config) {
	return func(c *Config) { c.PoolSize, c.MaxOverflow = size, &overflow }
}

func withTimeout(d time.Duration) func(*Config) { return func(c *Config) { c.PoolTimeout = d } }

// through puts a fault proxy before the database.
func through(t *testing.T, db *testserver.PostgresDatabase) (*testserver.FaultProxy, string) {
	t.Helper()
	p := testserver.Proxy(t, db.Addr)
	uri, err := url.Parse(db.URL)
	require.NoError(t, err)
	uri.Host = p.Addr
	return p, uri.String()
}

// borrow takes n connections, given back with the test if not before.
func borrow(t *testing.T, d *Database, n int) []*Conn {
	t.Helper()
	var all []*Conn
	for range n {
		c, err := d.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(c.Release)
		all = append(all, c)
	}
	return all
}

func giveBack(conns ...*Conn) {
	for _, c := range conns {
		c.Release()
	}
}

// pid is the server's process behind a connection.
func pid(c *Conn) uint32 { return c.PgConn().PID() }

// execute runs SQL on a connection of its own.
func execute(t *testing.T, uri, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// ask returns the one value of a query.
func ask[T any](t *testing.T, c interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string,
) (v T) {
	t.Helper()
	require.NoError(t, c.QueryRow(t.Context(), sql).Scan(&v))
	return v
}
