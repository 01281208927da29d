package consumergroup_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A stream that was replaced by an older copy of it, or a group that was set by hand:
// what is published next would never be delivered, and nothing would say so.
func TestAGroupAheadOfItsStreamIsAnErrorAndNotASilentSkip(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client := server.Client(t)
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return server.URL, nil }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	publish := func() string {
		return client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"data", "{}"}}).Val()
	}
	set := func(id string) { require.NoError(t, client.XGroupSetID(t.Context(), stream, "g", id).Err()) }
	const future = "99999999999999-0"
	first := publish()
	require.NoError(t, client.XGroupCreate(t.Context(), stream, "g", future).Err())
	source := consumergroup.Over(b).Open(subscription.Config{
		Handler: "h", Group: "g", Stream: stream, ClaimIdle: 300 * time.Millisecond, BlockingTimeout: 50 * time.Millisecond,
	}.WithDefaults(), slog.New(slog.DiscardHandler))
	next := func() ([]*subscription.Task, error) { return source.Next(t.Context(), 10) }

	_, err = next()
	var ahead *consumergroup.AheadError
	require.ErrorAs(t, err, &ahead)
	require.ErrorContains(t, err, `group "g" is at `+future+`, beyond the last entry of stream "`+stream+`", `+first)
	require.ErrorContains(t, err, `XGROUP SETID`)
	set("0")
	require.Eventually(t, func() bool {
		got, err := next()
		require.NoError(t, err)
		source.Done(got)
		return len(got) == 1 && got[0].Delivery.ID == first
	}, 10*time.Second, time.Millisecond)

	// The same under a running engine.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		source.Upkeep(ctx, make(chan []*subscription.Task))
	}()
	set(future)
	require.Eventually(t, func() bool {
		_, err := next()
		return err != nil
	}, 10*time.Second, time.Millisecond)
	second := publish()
	_, err = next()
	require.ErrorAs(t, err, &ahead)
	set(first)
	require.Eventually(t, func() bool {
		got, err := next()
		require.NoError(t, err)
		return len(got) == 1 && got[0].Delivery.ID == second
	}, 10*time.Second, time.Millisecond)
	stop()
	<-done
	require.NoError(t, source.Close(context.Background()))
}
