package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/database"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestConnectionsBeyondPoolSizeAreClosedWhenGivenBack(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	d := open(t, db.URL, withPool(2, 3), withTimeout(time.Millisecond))
	require.Equal(t, database.PoolStats{Size: 2, Overflow: -2}, d.Stats(), "New connects to nothing")

	conns := borrow(t, d, 5)
	require.Equal(t, database.PoolStats{Size: 2, CheckedOut: 5, Overflow: 3}, d.Stats())
	_, err := d.Acquire(t.Context())
	require.ErrorIs(t, err, database.ErrPoolTimeout)
	require.EqualError(t, err, `database "default": no database connection became free in time: `+
		`all of pool_size 2 + max_overflow 3 were in use for 1ms; raise them, or hold connections for a shorter time`)

	giveBack(conns...)
	require.Equal(t, database.PoolStats{Size: 2, CheckedIn: 2}, d.Stats())
	for _, c := range conns[2:] {
		require.True(t, c.IsClosed(), "closed when Release returned")
	}
}

func TestBorrowingManyTimesOpensFewConnections(t *testing.T) {
	t.Parallel()
	d := open(t, testserver.Postgres(t).URL, withPool(4, 10))
	var seen sync.Map
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 500 {
				c, err := d.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				seen.Store(pid(c), true)
				c.Release()
			}
		})
	}
	users.Wait()
	opened := 0
	seen.Range(func(any, any) bool { opened++; return true })
	require.LessOrEqual(t, opened, 4)
}

func TestConnectionsBeyondTheirAgeAreReplaced(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	for recycle, replaced := range map[time.Duration]bool{time.Nanosecond: true, time.Hour: false, 0: false} {
		d := open(t, db.URL, withPool(1, 0), func(c *Config) { c.PoolRecycle = recycle })
		first := borrow(t, d, 1)[0]
		giveBack(first)
		second := borrow(t, d, 1)[0]
		require.Equal(t, replaced, pid(first) != pid(second), recycle)
		require.Equal(t, replaced, first.IsClosed())
		require.Equal(t, database.PoolStats{Size: 1, CheckedOut: 1}, d.Stats())
	}
}

func TestAfterARestartOneBorrowerFailsAndTheOthersDoNot(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri, withPool(3, 0))
	giveBack(borrow(t, d, 3)...)
	proxy.Cut()

	first := borrow(t, d, 1)[0]
	_, err := first.Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	first.Release()
	for _, c := range borrow(t, d, 3) {
		require.Equal(t, 1, ask[int](t, c, "SELECT 1"))
	}
}

func TestPrePingReplacesWhatBrokeWhileItWasIdle(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri, withPool(2, 0), func(c *Config) { c.PrePing = true })
	giveBack(borrow(t, d, 2)...)
	proxy.Cut()
	for _, c := range borrow(t, d, 2) {
		require.Equal(t, 1, ask[int](t, c, "SELECT 1"))
	}
}

func TestABorrowersLeftoversDoNotReachTheNext(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	execute(t, db.URL, "CREATE TABLE t (n int)")
	for name, leave := range map[string]func(*testing.T, *Conn){
		"an open transaction": func(t *testing.T, c *Conn) {
			_, err := c.Exec(t.Context(), "BEGIN; INSERT INTO t VALUES (1)")
			require.NoError(t, err)
		},
		"a failed transaction": func(t *testing.T, c *Conn) {
			_, err := c.Exec(t.Context(), "BEGIN; INSERT INTO t VALUES (1); SELECT 1/0")
			require.Error(t, err)
		},
		"unread rows": func(t *testing.T, c *Conn) {
			_, err := c.Query(t.Context(), "SELECT generate_series(1, 100000)") //nolint:rowserrcheck,sqlclosecheck // that is the point
			require.NoError(t, err)
		},
		"a query cancelled in its midst": func(t *testing.T, c *Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			require.Error(t, err)
		},
		"a closed connection": func(t *testing.T, c *Conn) { require.NoError(t, c.Close(t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, db.URL, withPool(1, 0))
			c := borrow(t, d, 1)[0]
			leave(t, c)
			c.Release()
			c.Release()

			next := borrow(t, d, 1)[0]
			require.Zero(t, ask[int](t, next, "SELECT count(*) FROM t"))
			require.Equal(t, database.PoolStats{Size: 1, CheckedOut: 1}, d.Stats())
		})
	}
}

func TestATransactionCommitsOnlyWhatSucceeded(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	d := open(t, db.URL, withPool(1, 0))
	execute(t, db.URL, "CREATE TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	insert := func(n int, end func() error) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", n)
			return errors.Join(err, end())
		}
	}
	boom := errors.New("boom")
	require.NoError(t, d.Do(t.Context(), insert(1, func() error { return nil })))
	require.ErrorIs(t, d.Do(t.Context(), insert(2, func() error { return boom })), boom)
	require.PanicsWithError(t, "boom", func() { _ = d.Do(t.Context(), insert(3, func() error { panic(boom) })) })
	require.ErrorContains(t, d.Do(t.Context(), insert(1, func() error { return nil })), `database "default": commit: ERROR: duplicate key`)

	require.Equal(t, database.PoolStats{Size: 1, CheckedIn: 1}, d.Stats())
	require.Equal(t, []int32{1}, ask[[]int32](t, borrow(t, d, 1)[0], "SELECT array_agg(n) FROM t"))
}

func TestSessionsRunInUTCWhateverTheServerOrTheAddressSays(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	execute(t, db.URL, "ALTER DATABASE "+db.Name+" SET timezone = 'Asia/Tokyo'")
	for uri, application := range map[string]string{
		db.URL: "observatory",
		db.URL + "?TIMEZONE=Asia/Tokyo&application_name=shop": "shop",
	} {
		c := borrow(t, open(t, uri), 1)[0]
		require.Equal(t, "UTC", ask[string](t, c, "SHOW timezone"))
		require.Equal(t, application, ask[string](t, c, "SHOW application_name"))
	}
}

func TestCredentialsAreReadAgainForEveryConnection(t *testing.T) {
	t.Parallel()
	db := testserver.Postgres(t)
	execute(t, db.URL, "CREATE ROLE "+db.Name+"_new SUPERUSER LOGIN")
	t.Cleanup(func() { executeLater(t, db.URL, "DROP ROLE "+db.Name+"_new") })
	uri := db.URL
	d := open(t, "", func(c *Config) { c.URI = func() (string, error) { return uri, nil } })
	before := borrow(t, d, 1)[0]
	uri = db.URL + "?user=" + db.Name + "_new"
	after := borrow(t, d, 1)[0]
	require.NotEqual(t, ask[string](t, before, "SELECT current_user"), ask[string](t, after, "SELECT current_user"))
	giveBack(before, after)

	unreadable := open(t, "", func(c *Config) { c.URI = func() (string, error) { return "", errors.New("no such file") } })
	_, err := unreadable.Acquire(t.Context())
	require.EqualError(t, err, `database "default": read database_uri: no such file`)
}

func executeLater(t *testing.T, uri, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, uri)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

func TestAFailedConnectionFreesItsPlace(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri, withPool(1, 0), withTimeout(time.Minute))
	proxy.Down()
	for range 3 {
		_, err := d.Acquire(t.Context())
		require.ErrorContains(t, err, `database "default": failed to connect`)
		require.NotContains(t, err.Error(), "\n")
	}
	require.Equal(t, database.PoolStats{Size: 1, Overflow: -1}, d.Stats())
	proxy.Up()
	borrow(t, d, 1)
}

func TestCloseWaitsForWhatIsBorrowed(t *testing.T) {
	t.Parallel()
	d := open(t, testserver.Postgres(t).URL)
	c := borrow(t, d, 2)
	c[1].Release()
	closed := make(chan error, 1)
	go func() { closed <- d.Close(context.Background()) }()
	require.Eventually(t, func() bool {
		c, err := d.Acquire(t.Context())
		if err == nil {
			c.Release()
		}
		return errors.Is(err, database.ErrClosed)
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, ask[int](t, c[0], "SELECT 1"), "a borrowed connection still works")
	require.Empty(t, closed)
	c[0].Release()
	require.NoError(t, <-closed)
	require.NoError(t, d.Close(t.Context()), "twice is harmless")
	require.ErrorIs(t, d.Ping(t.Context()), database.ErrClosed)
	require.Equal(t, database.PoolStats{Size: 5, Overflow: -5}, d.Stats())
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	d, err := New(Config{Name: "default", URI: fixed(testserver.Postgres(t).URL)})
	require.NoError(t, err)
	conns := borrow(t, d, 3)
	conns[2].Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = d.Close(ctx)
	require.EqualError(t, err, `database "default": closed 2 connections that were still in use: context canceled`)
	_, err = conns[0].Exec(t.Context(), "SELECT 1")
	require.Error(t, err, "closed under its borrower's hands")
	giveBack(conns...)
	require.NoError(t, d.Close(t.Context()))
}

func TestCloseEndsWhoeverIsStillConnecting(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri)
	proxy.Stall()
	failed := make(chan error, 1)
	go func() { _, err := d.Acquire(t.Context()); failed <- err }()
	require.Eventually(t, func() bool { return d.Stats().CheckedOut == 1 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = d.Close(ctx)
	require.Error(t, <-failed)
}
