package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/testserver"
)

var errNotYet = errors.New("not yet")

var noHealth = engine.HealthConfig{Disabled: true}

// ids are the messages of the calls so far.
func (r *rig) ids() []string {
	var ids []string
	for _, m := range r.calls() {
		ids = append(ids, m.Metadata.Headers.ID)
	}
	return ids
}

// own is the consumer of the group that is not the released one.
func (r *rig) own(stream, group string) string {
	r.t.Helper()
	consumers, err := r.client.XInfoConsumers(r.t.Context(), stream, group).Result()
	require.NoError(r.t, err)
	for _, c := range consumers {
		if c.Name != "released" {
			return c.Name
		}
	}
	r.t.Fatal("the group has no consumer")
	return ""
}

func TestAGroupThatIsDestroyedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	for i := range 3000 {
		r.add(stream, "data", event(fmt.Sprintf("old-%d", i)))
	}
	s := r.subscribe(stream, "shop.Mailer", succeed)
	s.FromEnd = true
	r.run(noHealth, s)
	r.until("the group exists", func() bool {
		groups, err := r.client.XInfoGroups(ctx, stream).Result()
		return err == nil && len(groups) == 1
	})
	r.add(stream, "data", event("new-1"))
	r.until("it is handled", func() bool { return len(r.calls()) == 1 })
	for n := 2; n < 6; n++ {
		require.NoError(t, r.client.XGroupDestroy(ctx, stream, "shop.Mailer").Err())
		r.add(stream, "data", event(fmt.Sprintf("new-%d", n)))
		r.until("the next is handled", func() bool { return len(r.calls()) >= n })
	}
	require.Equal(t, []string{"new-1", "new-2", "new-3", "new-4", "new-5"}, r.ids(), "nothing old, nothing twice")
	require.Equal(t, 4, strings.Count(r.logs.String(), "consumer group was gone and was created again"))
}

func TestAGroupThatIsDestroyedWhileTheTargetIsDownIsMadeAgain(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	up := make(chan struct{})
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
		select {
		case <-up:
			return nil
		default:
			return handler.Unavailable(nil)
		}
	}))
	for i := range 50 {
		r.add(stream, "data", event(fmt.Sprintf("m-%d", i)))
	}
	r.until("the target is down", func() bool { return strings.Count(r.logs.String(), "target is down") == 1 })
	require.NoError(t, r.client.XGroupDestroy(ctx, stream, "shop.Mailer").Err())
	r.until("the group is made again while the gate is closed", func() bool {
		groups, err := r.client.XInfoGroups(ctx, stream).Result()
		return err == nil && len(groups) == 1 && groups[0].Pending > 0
	})
	close(up)
	r.until("all are handled", func() bool {
		return r.settled(stream, "shop.Mailer") && r.sum("protean.subscription.messages_processed", "ok") >= 50
	})
	require.EqualValues(t, 50, r.sum("protean.subscription.messages_processed", "ok"), "each once")
}

func TestAStreamThatIsDeletedIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", succeed))
	r.add(stream, "data", event("before"))
	r.until("it is handled", func() bool { return len(r.calls()) == 1 })
	require.NoError(t, r.client.Del(t.Context(), stream).Err())
	// Ids that are lower than the last one of the stream that was deleted.
	for i := range 3 {
		require.NoError(t, r.client.XAdd(t.Context(), &redis.XAddArgs{
			Stream: stream, ID: fmt.Sprintf("5-%d", i+1), Values: []string{"data", event(fmt.Sprintf("after-%d", i))},
		}).Err())
	}
	r.until("the new ones are handled", func() bool { return len(r.calls()) == 4 })
	require.Equal(t, []string{"before", "after-0", "after-1", "after-2"}, r.ids())
}

func TestAConsumerThatIsDeletedLosesNothing(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	s := r.subscribe(stream, "shop.Mailer", func(_ context.Context, m *message.Envelope) error {
		if m.Source.Attempt == 1 {
			return errNotYet
		}
		return nil
	})
	s.MessagesPerTick, s.Retry.Delay = 100, time.Second
	r.run(noHealth, s)
	for i := range 207 {
		r.add(stream, "data", event(fmt.Sprintf("m-%d", i)))
	}
	r.until("all have failed once", func() bool { return r.sum("protean.subscription.messages_processed", "error") == 207 })
	require.NoError(t, r.client.XGroupDelConsumer(ctx, stream, "shop.Mailer", r.own(stream, "shop.Mailer")).Err())
	r.until("all are handled", func() bool { return r.sum("protean.subscription.messages_processed", "ok") == 207 })
	r.until("all are acknowledged", func() bool { return r.settled(stream, "shop.Mailer") })
	require.Zero(t, r.sum("protean.subscription.entries_lost", ""))
}

func TestWhatAnotherConsumerTakesIsLostLoudly(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	causes := make(chan error, 1)
	s := r.subscribe(stream, "shop.Mailer", func(ctx context.Context, _ *message.Envelope) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	s.ClaimIdle = 300 * time.Millisecond // renewed every second then, which is the shortest
	r.run(noHealth, s)
	id := r.add(stream, "data", event("m-1"))
	r.until("it is in flight", func() bool {
		pending, err := r.client.XPending(ctx, stream, "shop.Mailer").Result()
		return err == nil && pending.Count == 1
	})
	require.NoError(t, r.client.XClaim(ctx, &redis.XClaimArgs{
		Stream: stream, Group: "shop.Mailer", Consumer: "thief", Messages: []string{id},
	}).Err())
	require.ErrorIs(t, <-causes, subscription.ErrLost, "its call is ended")
	r.until("it is counted", func() bool { return r.sum("protean.subscription.entries_lost", "") == 1 })
	require.Equal(t, 1, strings.Count(r.logs.String(), "entry is not this consumer's any more"))
	pending, err := r.client.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: "shop.Mailer", Start: "-", End: "+", Count: 10}).Result()
	require.NoError(t, err)
	require.Len(t, pending, 1)
	require.Equal(t, "thief", pending[0].Consumer, "and the thief keeps it")
}

func TestWhatIsInFlightForLongIsRenewed(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	done := make(chan struct{})
	s := r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
		<-done
		return nil
	})
	s.ClaimIdle = 3 * time.Second
	r.run(noHealth, s)
	defer close(done)
	for i := range 15 { // one is called, the others queue
		r.add(stream, "data", event(fmt.Sprintf("m-%d", i)))
	}
	idle := func() (longest time.Duration, counts int64) {
		pending, err := r.client.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: "shop.Mailer", Start: "-", End: "+", Count: 100}).Result()
		if redis.HasErrorPrefix(err, "NOGROUP") {
			return 0, 0 // not made yet
		}
		require.NoError(t, err)
		for _, p := range pending {
			longest = max(longest, p.Idle)
			counts = max(counts, p.RetryCount)
		}
		return longest, counts
	}
	r.until("an idle time has been set back", func() bool {
		longest, _ := idle()
		return longest > 700*time.Millisecond
	})
	r.until("it is set back", func() bool {
		longest, _ := idle()
		return longest < 500*time.Millisecond
	})
	_, counts := idle()
	require.EqualValues(t, 1, counts, "renewing costs no attempt")
}

func TestWhatSomebodyHandsToThisConsumerIsHandled(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	s := r.subscribe(stream, "shop.Mailer", succeed)
	s.ClaimIdle = time.Second
	r.run(noHealth, s)
	r.add(stream, "data", event("m-1"))
	r.until("it is a member", func() bool { return len(r.calls()) == 1 })
	own := r.own(stream, "shop.Mailer")
	id := r.add(stream, "data", event("m-2"))
	r.until("the next is done", func() bool { return len(r.calls()) == 2 && r.settled(stream, "shop.Mailer") })
	require.NoError(t, r.client.Do(ctx, "XCLAIM", stream, "shop.Mailer", own, 0, id, "FORCE", "JUSTID").Err())
	r.until("it is handled again", func() bool { return len(r.calls()) == 3 })
	r.until("nothing is pending", func() bool { return r.settled(stream, "shop.Mailer") })
}

func TestAQueueOfAnotherTypeHoldsUpNoOtherAggregate(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	require.NoError(t, r.client.Set(ctx, deadletter.QueueOf(stream), "not a stream", 0).Err())
	e := r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(_ context.Context, m *message.Envelope) error {
		if strings.HasPrefix(m.Metadata.Headers.ID, "bad") {
			return handler.Reject(errNotYet)
		}
		return nil
	}))
	r.add(stream, "data", event("bad-1"))
	for i := range 300 {
		r.add(stream, "data", event(fmt.Sprintf("m-%d", i)))
	}
	r.until("the others are handled", func() bool { return r.sum("protean.subscription.messages_processed", "ok") == 300 })
	require.Equal(t, 1, e.Status().Subscriptions[0].DeadLettersWaiting)
	require.Equal(t, 1, strings.Count(r.logs.String(), "cannot write dead letters"))
	require.Contains(t, r.logs.String(), deadletter.QueueOf(stream), "the log names the cause")
	require.NoError(t, r.client.XGroupDelConsumer(ctx, stream, "shop.Mailer", r.own(stream, "shop.Mailer")).Err())
	require.NoError(t, r.client.Del(ctx, deadletter.QueueOf(stream)).Err())
	r.until("the dead letter is written", func() bool { return len(r.deadLetters(stream)) == 1 })
	r.until("nothing is pending", func() bool { return r.settled(stream, "shop.Mailer") })
}

func TestAnEntryMarkedAsPoisonCostsItselfOnly(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	require.NoError(t, r.client.XGroupCreateMkStream(ctx, stream, "shop.Mailer", "0").Err())
	poison := r.add(stream, "data", event("poison"))
	require.NoError(t, r.client.XGroupSetID(ctx, stream, "shop.Mailer", poison).Err())
	require.NoError(t, r.client.Do(ctx, "XCLAIM", stream, "shop.Mailer", "released", 0, poison,
		"RETRYCOUNT", "9223372036854775807", "FORCE", "JUSTID").Err())
	r.add(stream, "data", event("m-1"))
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", succeed))
	r.until("the other is handled", func() bool { return len(r.calls()) == 1 })
	r.until("the poisoned one is dead-lettered", func() bool { return len(r.deadLetters(stream)) == 1 })
	r.until("nothing is pending", func() bool { return r.settled(stream, "shop.Mailer") })
	require.Equal(t, []string{"m-1"}, r.ids(), "uncalled")
}

func TestMoreThanAThousandReleasedEntriesComeInTheirOrderBeforeNewOnes(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	ctx := t.Context()
	require.NoError(t, r.client.XGroupCreateMkStream(ctx, stream, "shop.Mailer", "0").Err())
	const n = 2500
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("m-%d", i))
		r.add(stream, "data", strings.Replace(event(want[i]), `"stream": "shop::order-`+want[i], `"stream": "shop::order-a`, 1))
	}
	read, err := r.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "shop.Mailer", Consumer: "former", Streams: []string{stream, ">"}, Count: 2200,
	}).Result()
	require.NoError(t, err)
	release := []any{"XCLAIM", stream, "shop.Mailer", "released", 0}
	for _, m := range read[0].Messages {
		release = append(release, m.ID)
	}
	require.NoError(t, r.client.Do(ctx, append(release, "RETRYCOUNT", 0, "JUSTID")...).Err())
	s := r.subscribe(stream, "shop.Mailer", succeed)
	s.MessagesPerTick = 1500
	r.run(noHealth, s)
	r.until("all are handled", func() bool { return len(r.calls()) == n })
	for i, id := range r.ids() {
		require.Equal(t, want[i], id, "call %d, of one aggregate", i)
	}
}

// A link of 100 Mbit/s carries a batch of 100 entries of 1 MB in 8 s, and the
// socket time-out is 1 s.
func TestABatchThatIsSlowerThanTheSocketTimeoutIsReadInParts(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	redisServer := testserver.Redis(t)
	server := newRig(t, redisServer.URL)
	pad := strings.Repeat("x", 1<<20)
	const n = 60
	for i := range n {
		server.add(stream, "data", strings.Replace(event(fmt.Sprintf("m-%d", i)), `{"order_id"`, `{"pad": "`+pad+`", "order_id"`, 1))
	}
	proxy := testserver.Proxy(t, redisServer.Addr)
	proxy.Throttle(12 << 20)
	r := newRig(t, "redis://"+proxy.Addr)
	s := r.subscribe(stream, "shop.Mailer", succeed)
	s.MessagesPerTick = 100
	r.run(noHealth, s)
	r.until("all are handled", func() bool { return len(r.calls()) >= n })
	require.Len(t, r.calls(), n, "each once")
}

func TestARejectedMessageWhoseGroupIsDestroyedMeanwhileIsDeadLettered(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(ctx context.Context, _ *message.Envelope) error {
		require.NoError(t, r.client.XGroupDestroy(ctx, stream, "shop.Mailer").Err())
		return handler.Reject(errNotYet)
	}))
	for n := range 5 {
		r.add(stream, "data", event(fmt.Sprintf("m-%d", n)))
		r.until("its dead letter is written", func() bool { return len(r.deadLetters(stream)) == n+1 })
	}
	r.until("each is counted", func() bool { return r.sum("protean.subscription.dlq_routed", "") == 5 })
}

func TestARejectedMessageThatMayNotBeAcknowledgedHasNoSecondDeadLetter(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	server := testserver.Redis(t)
	admin := newRig(t, server.URL)
	ctx := t.Context()
	require.NoError(t, admin.client.Do(ctx, "ACL", "SETUSER", stream, "on", ">pw", "~*", "+@all", "-xack").Err())
	t.Cleanup(func() { admin.client.Do(context.Background(), "ACL", "DELUSER", stream) })
	r := newRig(t, fmt.Sprintf("redis://%s:pw@%s", stream, server.Addr))
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error { return handler.Reject(errNotYet) }))
	admin.add(stream, "data", event("m-1"))
	r.until("it cannot be written", func() bool { return strings.Contains(r.logs.String(), "cannot write dead letters") })
	require.Empty(t, admin.deadLetters(stream))
	require.NoError(t, admin.client.Do(ctx, "ACL", "SETUSER", stream, "+xack").Err())
	r.until("it is written", func() bool { return r.sum("protean.subscription.dlq_routed", "") == 1 })
	require.Len(t, admin.deadLetters(stream), 1)
}

// brokenError is an error whose methods panic on a nil pointer.
type brokenError struct{ inner error }

func (e *brokenError) Error() string { return e.inner.Error() }
func (e *brokenError) Unwrap() error { return e.inner }

func TestAnErrorThatPanicsIsAFailure(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
		var none *brokenError
		return none
	}))
	r.add(stream, "data", event("m-1"))
	r.until("it is dead-lettered", func() bool { return len(r.deadLetters(stream)) == 1 })
}

// The connection on which a read waits goes silent, as behind a router that
// forgot it.
func TestAStopDoesNotWaitForAReadWhoseConnectionIsSilent(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	proxy := testserver.Proxy(t, server.Addr)
	url := "redis://" + proxy.Addr
	r := newRig(t, url)
	var err error
	r.broker, err = redisbroker.New(redisbroker.Config{
		URI: func() (string, error) { return url, nil }, SocketTimeout: 60 * time.Second, Logger: r.logger(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.broker.Close(context.Background())) })
	stream := testserver.Name(t)
	called := make(chan struct{}, 1)
	r.run(noHealth, r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
		called <- struct{}{}
		return nil
	}))
	r.add(stream, "data", event("m-1"))
	<-called
	direct := server.Client(t)
	r.until("it waits for more", func() bool {
		clients, err := direct.ClientList(t.Context()).Result()
		return err == nil && strings.Contains(clients, "cmd=xreadgroup")
	})
	proxy.Stall()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = r.halt() // what it could not release
	}()
	select {
	case <-stopped:
	case <-time.After(45 * time.Second):
		t.Fatal("the stop waits for the socket's time-out")
	}
}

// What a group's pending list has lost is in flight all the same: retention leaves it.
func TestRetentionLeavesWhatWasDroppedWithItsConsumer(t *testing.T) {
	t.Parallel()
	stream := testserver.Name(t)
	r := newRig(t, testserver.Redis(t).URL)
	const n = 40
	for i := range n {
		r.add(stream, "data", event(fmt.Sprintf("e-%d", i)))
	}
	s := r.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error {
		time.Sleep(200 * time.Millisecond) // the work: eight seconds of it are in hand, and the next renewal comes in four
		return nil
	})
	s.MessagesPerTick, s.RetentionMaxLen, s.ClaimIdle = n, 1, 12*time.Second
	r.run(noHealth, s)
	r.until("some are handled", func() bool { return len(r.calls()) >= 8 })
	require.NoError(t, r.client.XGroupDelConsumer(t.Context(), stream, "shop.Mailer", r.own(stream, "shop.Mailer")).Err())
	more := 0
	r.until("all that was published is handled", func() bool {
		if length, err := r.client.XLen(t.Context(), stream).Result(); err == nil && length < n+20 && more < 20 {
			r.add(stream, "data", event(fmt.Sprintf("m-%d", more))) // so that the stream is trimmed each second
			more++
		}
		handled := make(map[string]bool)
		for _, id := range r.ids() {
			handled[id] = true
		}
		return len(handled) == n+more && more == 20
	})
}
