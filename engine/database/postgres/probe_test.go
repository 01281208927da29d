package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/database"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestPingNeitherNeedsNorChangesThePool(t *testing.T) {
	t.Parallel()
	d := open(t, testserver.Postgres(t).URL, withPool(1, 0))
	require.NoError(t, d.Ping(t.Context()))
	require.Equal(t, database.PoolStats{Size: 1, Overflow: -1}, d.Stats())
	borrow(t, d, 1)
	require.NoError(t, d.Ping(t.Context()), "the pool is exhausted")
	require.Equal(t, database.PoolStats{Size: 1, CheckedOut: 1}, d.Stats())
}

func TestPingTellsDownFromUp(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri)
	require.NoError(t, d.Ping(t.Context()))
	proxy.Cut()
	require.NoError(t, d.Ping(t.Context()), "the server is up, only the connection was not")
	proxy.Down()
	require.ErrorContains(t, d.Ping(t.Context()), `database "default": failed to connect`)
	proxy.Up()
	require.NoError(t, d.Ping(t.Context()))
}

func TestPingOfAServerThatDoesNotAnswerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri)
	require.NoError(t, d.Ping(t.Context()))
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, d.Ping(ctx), context.DeadlineExceeded)
	proxy.Flow()
	require.NoError(t, d.Ping(t.Context()))
}

func TestCloseInterruptsAPing(t *testing.T) {
	t.Parallel()
	proxy, uri := through(t, testserver.Postgres(t))
	d := open(t, uri)
	require.NoError(t, d.Ping(t.Context()))
	proxy.Stall()
	failed := make(chan error, 1)
	go func() { failed <- d.Ping(t.Context()) }()
	require.Eventually(t, func() bool { return len(d.probe.turn) == 1 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = d.Close(ctx)
	require.ErrorIs(t, <-failed, database.ErrClosed)
	proxy.Flow()
}
