package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// L22 of the reference: there as many pending entries without a body as one read takes
// hid all that was pending behind them, for good.
func TestEntriesWithoutABodyDoNotHideWhatIsPendingBehindThem(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	stream, ctx := testserver.Name(t), t.Context()
	require.NoError(t, r.client.XGroupCreateMkStream(ctx, stream, "shop.Mailer", "0").Err())
	const ghosts = 55
	for i := range ghosts + 5 {
		r.add(stream, "data", event(fmt.Sprintf("m-%d", i)))
	}
	read, err := r.client.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "shop.Mailer", Consumer: "former", Streams: []string{stream, ">"}}).Result()
	require.NoError(t, err)
	for i, m := range read[0].Messages {
		require.NoError(t, r.client.Do(ctx, "XCLAIM", stream, "shop.Mailer", redisbroker.Released, 0, m.ID, "RETRYCOUNT", 0, "JUSTID").Err())
		if i < ghosts {
			require.NoError(t, r.client.XDel(ctx, stream, m.ID).Err())
		}
	}
	r.add(stream, "data", event("new"))
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", succeed)) // reads ten at a time
	r.until("nothing is pending", func() bool { return r.settled(stream, "shop.Mailer") })
	require.Equal(t, []string{"m-55", "m-56", "m-57", "m-58", "m-59", "new"}, r.ids())
	require.EqualValues(t, ghosts, r.sum("protean.subscription.ghost_entries", ""))
}

// L28: there each read that waited in vain longer than the socket time-out was an error.
func TestAShortSocketTimeoutIsNoErrorOfAReadThatWaits(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	r := newRig(t, server.URL)
	b, err := redisbroker.New(redisbroker.Config{
		URI: func() (string, error) { return server.URL, nil }, SocketTimeout: 100 * time.Millisecond, Logger: r.logger(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	s := r.subscribe("shop::order", "shop.Mailer", succeed)
	s.BlockingTimeout, s.Source = 5*time.Second, consumergroup.Over(b)
	r.run(noHealth, s)
	reads := func() (n int) {
		stats, err := r.client.Info(t.Context(), "commandstats").Result()
		require.NoError(t, err)
		_, stats, _ = strings.Cut(stats, "cmdstat_xreadgroup:calls=")
		_, _ = fmt.Sscan(strings.SplitN(stats, ",", 2)[0], &n)
		return n
	}
	r.until("reads have waited in vain", func() bool { return reads() >= 4 })
	r.add("shop::order", "data", event("m"))
	r.until("the entry is handled", func() bool { return r.settled("shop::order", "shop.Mailer") })
	require.Len(t, r.calls(), 1)
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		require.NotContains(t, r.logs.String(), "level="+level.String())
	}
}

// L32: there a handler that blocked stopped every subscription and the probes.
func TestAHandlerThatBlocksHoldsUpNeitherOtherHandlersNorTheProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	blocked, others := testserver.Name(t), testserver.Name(t)
	address := fmt.Sprintf("127.0.0.1:%d", testserver.FreePort(t))
	called, let := make(chan struct{}), make(chan struct{})
	r.run(engine.HealthConfig{Address: address, Checks: health.Checks{Brokers: map[string]health.Pinger{"default": r.broker}}},
		r.subscribe(blocked, "shop.Blocked", func(context.Context, *message.Envelope) error {
			close(called)
			<-let
			return nil
		}),
		r.subscribe(others, "shop.Mailer", succeed))
	defer close(let) // the engine stops afterwards
	r.add(blocked, "data", event("b"))
	<-called
	r.publishMany(others, "m", 100)
	r.until("the others are handled", func() bool { return r.settled(others, "shop.Mailer") })
	require.Equal(t, http.StatusOK, probe(address, "/livez"))
	require.Equal(t, http.StatusOK, probe(address, "/readyz"))
}

// L52: a group starts at the beginning of the stream, as in the original, unless it is
// to start at the end; there it could not.
func TestANewGroupStartsAtTheBeginningUnlessItIsToStartAtTheEnd(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	server := testserver.Redis(t).URL
	whole, rest := newRig(t, server), newRig(t, server)
	whole.publishMany(stream, "old", 5)
	s := rest.subscribe(stream, "shop.New", succeed)
	s.FromEnd = true
	rest.run(noHealth, s)
	rest.until("its group is there", func() bool { return rest.settled(stream, "shop.New") })
	whole.run(noHealth, whole.subscribe(stream, "shop.Mailer", succeed))
	whole.add(stream, "data", event("new"))
	rest.until("it has handled what is new", func() bool { return rest.settled(stream, "shop.New") })
	whole.until("all are handled", func() bool { return whole.settled(stream, "shop.Mailer") })
	require.Equal(t, []string{"new"}, rest.ids())
	require.Len(t, whole.ids(), 6)

	require.NoError(t, rest.halt())
	whole.add(stream, "data", event("meanwhile"))
	rest = newRig(t, server)
	rest.run(noHealth, s)
	rest.until("it has gone on", func() bool { return rest.settled(stream, "shop.New") })
}

// L46: there all dead letters were replayed to the primary lane, and to every group.
func TestADeadLetterOfABackfillLaneIsReplayedToThatLaneAndItsGroup(t *testing.T) {
	t.Parallel()
	r, stream := newRig(t, testserver.Redis(t).URL), testserver.Name(t)
	var mended atomic.Bool
	fn := func(context.Context, *message.Envelope) error {
		if !mended.Load() {
			return handler.Reject(errors.New("broken"))
		}
		return nil
	}
	primary, lane, other := r.subscribe(stream, "g", fn), r.subscribe(stream+":backfill", "g", fn), r.subscribe(stream+":backfill", "other", succeed)
	lane.BackfillOf = stream
	r.run(noHealth, primary, lane, other)
	r.add(stream+":backfill", "data", event("m"))
	r.until("the message was given up", func() bool {
		return len(r.deadLetters(stream+":backfill")) == 1 && r.settled(stream+":backfill", "other")
	})
	require.Len(t, r.calls(), 2, "one of each group")
	mended.Store(true)
	plan, err := deadletter.NewPlan(t.Context(), r.broker, stream+":backfill", deadletter.Filter{})
	require.NoError(t, err)
	done, err := plan.Run(t.Context(), r.broker, deadletter.ReplayOptions{Owned: []string{"g"}})
	require.NoError(t, err)
	require.Equal(t, 1, done.Delivered)
	r.until("it is handled", func() bool { return len(r.calls()) == 3 && r.settled(stream+":backfill", "g") })
	require.Empty(t, r.deadLetters(stream+":backfill"))
	require.Zero(t, r.client.XLen(t.Context(), stream).Val(), "nothing is on the primary lane")
	require.False(t, slices.ContainsFunc(r.calls(), func(m message.Envelope) bool { return m.Source.Stream != stream+":backfill" }))
}

// L33: there a stop waited for a handler that did not return, however long.
func TestAStopIsBoundedThoughAHandlerNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memorybroker.New()
		let := make(chan struct{})
		defer close(let)
		e, err := engine.New(engine.Config{
			Health: noHealth, ShutdownTimeout: 3 * time.Second, Logger: slog.New(slog.DiscardHandler),
			Subscriptions: []engine.Subscription{{
				Config: subscription.Config{Handler: "shop.Mailer", Stream: "s"}, Source: consumergroup.Over(b),
				Func: func(context.Context, *message.Envelope) error { <-let; return nil },
			}},
		})
		require.NoError(t, err)
		_, err = b.Publish(t.Context(), "s", message.Field{Name: message.DataField, Value: []byte(event("m"))})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, 1, e.InFlight())
		began := time.Now()
		stop()
		err = <-ended
		require.Less(t, time.Since(began), 5*time.Second)
		var stuck *subscription.StuckError
		require.ErrorAs(t, err, &stuck)
	})
}
