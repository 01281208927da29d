package consumergroup_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// Their dead letters may be written, for all that is known: they are not claimed back,
// and they stay this consumer's.
func TestEntriesWhoseDeadLettersAreRefusedAreRenewed(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client := server.Client(t)
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return server.URL, nil }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	for range 2 {
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"data", "{}"}}).Err())
	}
	require.NoError(t, client.Set(t.Context(), deadletter.QueueOf(stream), "of another type", 0).Err())
	source := consumergroup.Over(b).Open(subscription.Config{
		Handler: "h", Stream: stream, ClaimIdle: 300 * time.Millisecond, DeadLetters: true,
	}.WithDefaults(), slog.New(slog.DiscardHandler))
	tasks, err := source.Next(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, tasks, 2)
	for _, task := range tasks {
		task.Err, task.FailedAt = errors.New("broken"), time.Now()
	}
	_, err = source.GiveUp(t.Context(), tasks)
	require.NotErrorIs(t, err, consumergroup.ErrRefused)
	require.Error(t, err)

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		source.Upkeep(ctx, make(chan []*subscription.Task))
	}()
	idle := func() time.Duration {
		pending, err := client.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: "h", Start: "-", End: "+", Count: 1}).Result()
		require.NoError(t, err)
		require.Len(t, pending, 1)
		return pending[0].Idle
	}
	before := idle()
	require.Eventually(t, func() bool {
		was := before
		before = idle()
		return before < was
	}, 10*time.Second, 10*time.Millisecond)
	stop()
	<-done
	require.NoError(t, source.Close(context.Background()))
}

// A replay goes to `released` where an engine of ours is in the group, which an idle
// one is too.
func TestAnIdleEngineIsKnownToBeThere(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return server.URL, nil }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	source := consumergroup.Over(b).Open(subscription.Config{
		Handler: "h", Stream: stream, BlockingTimeout: 50 * time.Millisecond,
	}.WithDefaults(), slog.New(slog.DiscardHandler))
	_, err = source.Next(t.Context(), 1)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		source.Upkeep(ctx, make(chan []*subscription.Task))
	}()
	require.Eventually(t, func() bool {
		groups, err := b.Groups(t.Context(), stream)
		require.NoError(t, err)
		return len(groups) == 1 && groups[0].Live
	}, 10*time.Second, 10*time.Millisecond)
	stop()
	<-done
	require.NoError(t, source.Close(context.Background()))
}

// beating counts how often a consumer shows that it lives.
type beating struct {
	*memorybroker.Broker
	beats atomic.Int64
}

type beatingMembership struct {
	consumergroup.Membership
	broker *beating
}

func (b *beating) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	inner, err := b.Broker.Join(ctx, m)
	return &beatingMembership{inner, b}, err
}

func (m *beatingMembership) Heartbeat(ctx context.Context) ([]consumergroup.Consumer, error) {
	m.broker.beats.Add(1)
	time.Sleep(10 * time.Millisecond)
	return m.Membership.Heartbeat(ctx)
}

func TestLifeIsShownEveryThirdOfAnyClaimIdle(t *testing.T) {
	for _, claimIdle := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 3 * time.Second, 4 * time.Second, 10 * time.Second, time.Minute} {
		t.Run(claimIdle.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &beating{Broker: memorybroker.New()}
				source := consumergroup.Over(b).Open(subscription.Config{
					Handler: "h", Stream: "s", ClaimIdle: claimIdle, BlockingTimeout: time.Millisecond,
				}.WithDefaults(), slog.New(slog.DiscardHandler))
				_, err := source.Next(t.Context(), 1)
				require.NoError(t, err)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					source.Upkeep(ctx, make(chan []*subscription.Task))
				}()
				time.Sleep(30 * claimIdle)
				stop()
				<-done
				require.InDelta(t, 90, b.beats.Load(), 5)
				require.NoError(t, source.Close(context.Background()))
				require.NoError(t, b.Close(context.Background()))
			})
		})
	}
}
