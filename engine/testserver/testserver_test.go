package testserver_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestSharedRedisIsOneServer(t *testing.T) {
	t.Parallel()
	first, second := testserver.Redis(t), testserver.Redis(t)
	key := testserver.Name(t)
	require.NoError(t, first.Client(t).Set(t.Context(), key, "1", time.Minute).Err())
	require.Equal(t, "1", second.Client(t).Get(t.Context(), key).Val())
}

func TestNamesAreNeverRepeatedAndFitEverywhere(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		name := testserver.Name(t)
		require.Regexp(t, `^t[a-z0-9_]{1,47}$`, name)
		require.False(t, seen[name], name)
		seen[name] = true
	}
}

func TestEachPostgresDatabaseIsItsOwn(t *testing.T) {
	t.Parallel()
	for range 2 {
		db := testserver.Postgres(t)
		conn, err := pgx.Connect(t.Context(), db.URL)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(t.Context(), "CREATE TABLE only_once (id int)")
		require.NoError(t, err)
		var name string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name))
		require.Equal(t, db.Name, name)
	}
}

func TestMessageDBIsInstalledInADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for range 2 {
		conn, err := pgx.Connect(t.Context(), testserver.MessageDB(t).URL)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(t.Context(), "SET search_path TO message_store, public")
		require.NoError(t, err)
		var position int64
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT write_message(gen_random_uuid()::varchar, 'shop::order-1', 'T', '{}')").Scan(&position))
		require.Zero(t, position, "the first of its stream")
	}
}

func TestOwnRedisStopsAndComesBackAtItsAddress(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := server.Client(t)
	require.NoError(t, client.Set(t.Context(), "kept", "yes", 0).Err())
	addr := server.Addr

	server.Stop()
	server.Stop() // harmless
	require.Error(t, client.Ping(t.Context()).Err())

	server.Start()
	require.Equal(t, addr, server.Addr)
	require.Equal(t, "yes", client.Get(t.Context(), "kept").Val())
}

func TestPausedRedisAnswersNothingUntilResumed(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := oneTry(t, server.URL)
	require.NoError(t, client.Ping(t.Context()).Err())

	server.Pause()
	require.ErrorContains(t, client.Ping(t.Context()).Err(), "timeout")
	server.Resume()
	require.NoError(t, client.Ping(t.Context()).Err())
}

func TestOwnRedisTakesArguments(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--requirepass", "secret")
	require.ErrorContains(t, server.Client(t).Get(t.Context(), "x").Err(), "NOAUTH")
}

func TestProxyLosesTheReplyButNotTheRequest(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	client := oneTry(t, server.Via(proxy.Addr))
	key := testserver.Name(t)
	require.NoError(t, client.Incr(t.Context(), key).Err())

	dropped := proxy.DropReply(key)
	require.NoError(t, client.Ping(t.Context()).Err(), "another request is not the one")
	require.Error(t, client.Incr(t.Context(), key).Err())
	<-dropped
	require.Equal(t, "2", client.Get(t.Context(), key).Val(), "once only, and the next reply comes")
}

func TestProxyFindsARequestThatCameInTwoPieces(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	client := oneTry(t, server.Via(proxy.Addr))
	key := testserver.Name(t) + strings.Repeat("x", 100<<10) + "end"
	dropped := proxy.DropReply("xxend")
	require.Error(t, client.Get(t.Context(), key).Err())
	<-dropped
}

func TestProxyCutsAndRefuses(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	client := oneTry(t, server.Via(proxy.Addr))
	require.NoError(t, client.Ping(t.Context()).Err())

	proxy.Down()
	require.Error(t, client.Ping(t.Context()).Err())
	proxy.Up()
	require.NoError(t, client.Ping(t.Context()).Err())
}

func TestProxyHoldsRepliesBack(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	client := oneTry(t, server.Via(proxy.Addr))
	require.NoError(t, client.Ping(t.Context()).Err())

	proxy.Stall()
	require.ErrorContains(t, client.Ping(t.Context()).Err(), "timeout")
	proxy.Flow()
	require.NoError(t, client.Ping(t.Context()).Err())
}

// oneTry repeats nothing and waits a second for an answer.
func oneTry(t *testing.T, url string) *redis.Client {
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	options.MaxRetries, options.DialerRetries, options.ReadTimeout = -1, 1, time.Second
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
