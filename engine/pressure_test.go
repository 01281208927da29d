package engine_test

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The backlogs of these tests are 60 MB each, of messages of 10 kB.
const (
	backlog      = 6000
	payloadBytes = 10_000
	heapLimit    = 24 << 20
)

func TestABacklogStaysInRedisWhileTheHandlerIsSlow(t *testing.T) {
	server, stream := testserver.Redis(t), testserver.Name(t)
	pipe := server.Client(t).Pipeline()
	body := strings.Repeat("x", payloadBytes)
	for range backlog {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"body", body}})
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return server.URL, nil }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	requireSmallHeap(t, consumergroup.Over(b), stream, handler.FormatFields)
}

func TestABacklogStaysInMessageDBWhileTheHandlerIsSlow(t *testing.T) {
	db := testserver.MessageDB(t)
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "SET search_path TO message_store, public")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `SELECT count(write_message(gen_random_uuid()::varchar, 'pressure-' || i, 'Shop.Placed.v1',
		jsonb_build_object('body', repeat('x', $2)),
		jsonb_build_object('headers', jsonb_build_object('id', 'm-' || i, 'type', 'Shop.Placed.v1', 'stream', 'pressure-' || i),
			'domain', '{"kind": "EVENT", "version": 1, "asynchronous": true}'::jsonb))) FROM generate_series(1, $1) i`, backlog, payloadBytes)
	require.NoError(t, err)
	store, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }, MaxConnections: 4, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	requireSmallHeap(t, catchup.Over(store), "pressure", handler.FormatEnvelope)
}

// requireSmallHeap runs a slow handler over a backlog, and requires that the heap is
// small at every tenth of its calls. It is not parallel: the heap is the process'.
func requireSmallHeap(t *testing.T, source subscription.Opener, stream string, format handler.Format) {
	t.Helper()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ctx, stop := context.WithTimeout(t.Context(), deadline)
	defer stop()
	calls, largest := 0, uint64(0)
	e, err := engine.New(engine.Config{
		Domain: "shop", Health: engine.HealthConfig{Disabled: true}, Logger: slog.New(slog.DiscardHandler), MaxInflightBytes: 4 << 20,
		Subscriptions: []engine.Subscription{{
			Config: subscription.Config{Domain: "shop", Handler: "shop.Slow", Stream: stream, Format: format, MessagesPerTick: backlog},
			Source: source,
			Func: func(context.Context, *message.Envelope) error {
				time.Sleep(5 * time.Millisecond)
				if calls++; calls%10 != 0 {
					return nil
				}
				var now runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&now)
				largest = max(largest, now.HeapAlloc)
				if calls == 300 {
					stop()
				}
				return nil
			},
		}},
	})
	require.NoError(t, err)
	require.NoError(t, e.Run(ctx))
	require.GreaterOrEqual(t, calls, 300)
	grown := int64(largest) - int64(before.HeapAlloc)
	require.Less(t, grown, int64(heapLimit), "of a backlog of %d bytes", backlog*payloadBytes)
}
