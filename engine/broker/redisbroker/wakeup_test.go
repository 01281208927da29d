package redisbroker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// shared has all reads wait for one wake-up.
func shared(c *redisbroker.Config) { c.MaxConnections = 2 }

func TestRedisWithOneWakeUpForAllKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		server := testserver.Redis(t)
		return operated{open(t, server.URL, shared), server.Client(t)}
	})
}

// waiting is a member that reads until the test ends, and what it got.
type waiting struct {
	consumergroup.Membership
	got chan message.Delivery
}

// startWaiting has the member read and acknowledge until the test ends; an error of
// a read is passed to failed, if that is set.
func startWaiting(t *testing.T, m consumergroup.Membership, failed func(error)) *waiting {
	t.Helper()
	w := &waiting{m, make(chan message.Delivery, 1000)}
	ctx, stop := context.WithCancel(context.Background())
	var reader sync.WaitGroup
	reader.Go(func() {
		var acks []string
		for ctx.Err() == nil {
			got, acked, err := m.Read(ctx, consumergroup.Read{Max: 10, Block: maxWait, Acks: acks})
			if err != nil && ctx.Err() == nil {
				if failed == nil {
					assert.NoError(t, err)
					return
				}
				failed(err)
			}
			if acked {
				acks = nil
			}
			for _, d := range got {
				acks = append(acks, d.ID)
				w.got <- d
			}
		}
	})
	t.Cleanup(func() { stop(); reader.Wait() })
	return w
}

func (w *waiting) requireEntry(t *testing.T, id string) {
	t.Helper()
	w.requireEntryWithin(t, 10*time.Second, id) // half of what a missed wake-up takes
}

func (w *waiting) requireEntryWithin(t *testing.T, d time.Duration, id string) {
	t.Helper()
	select {
	case d := <-w.got:
		require.Equal(t, id, d.ID)
	case <-time.After(d):
		require.Fail(t, "no wake-up")
	}
}

// calls is how often the server ran a command.
func calls(t *testing.T, client *redis.Client, command string) int {
	t.Helper()
	info, err := client.InfoMap(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	n := 0
	_, _ = fmt.Sscanf(info["Commandstats"]["cmdstat_"+command], "calls=%d", &n)
	return n
}

// connected is how many clients run a command now.
func connected(t *testing.T, client *redis.Client, command string) int {
	t.Helper()
	list, err := client.ClientList(t.Context()).Result()
	require.NoError(t, err)
	return strings.Count(list, "cmd="+command+" ")
}

func TestAnEntryOfOneOfAThousandStreamsWakesItsGroupsAlone(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL, shared), server.Client(t)
	const streams = 1000
	members := make([]*waiting, streams)
	for i := range members {
		members[i] = startWaiting(t, join(t, b, fmt.Sprintf("s-%d", i), "c"), nil)
	}
	other, err := b.Join(t.Context(), consumergroup.Member{Stream: "s-7", Group: "other", Consumer: "c"})
	require.NoError(t, err)
	second := startWaiting(t, other, nil)
	// Each has read once and waits when the reads have come to rest.
	for before := -1; ; {
		now := calls(t, client, "xreadgroup")
		if now == before && now >= streams+1 {
			break
		}
		before = now
		time.Sleep(200 * time.Millisecond)
	}
	require.Equal(t, 1, connected(t, client, "xread"), "one waits for all")

	reads := calls(t, client, "xreadgroup")
	id := publish(t, b, "s-7", 1)[0]
	members[7].requireEntry(t, id)
	second.requireEntry(t, id)
	time.Sleep(100 * time.Millisecond)
	require.LessOrEqual(t, calls(t, client, "xreadgroup"), reads+6, "those of the two groups of that stream, and what follows an entry")
	for i, m := range members {
		require.Empty(t, m.got, "s-%d", i)
	}
}

func TestAStreamIsAddedToAWaitUnderWay(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL, shared), server.Client(t)
	startWaiting(t, join(t, b, "first", "c"), nil)
	require.Eventually(t, func() bool { return connected(t, client, "xread") == 1 }, time.Minute, time.Millisecond)
	second := startWaiting(t, join(t, b, "second", "c"), nil)
	require.Eventually(t, func() bool { return calls(t, client, "client|unblock") > 0 }, time.Minute, time.Millisecond)
	second.requireEntry(t, publish(t, b, "second", 1)[0])
}

// Entries come one at a time, to streams that others of the group read too: each
// must be got though the stream may have left the wait, or its head be another's.
func TestNoWakeUpIsMissed(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (string, redis.UniversalClient){
		"one server": func(t *testing.T) (string, redis.UniversalClient) {
			s := testserver.StartRedis(t)
			return s.URL, s.Client(t)
		},
		"a cluster": func(t *testing.T) (string, redis.UniversalClient) {
			c := testserver.StartRedisCluster(t, 2)
			return c.URL, c.Client(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, client := start(t)
			b := open(t, url, shared)
			const streams = 20
			got := make(chan string, 100)
			for i := range streams {
				for _, group := range []string{"g", "h"} {
					m, err := b.Join(t.Context(), consumergroup.Member{Stream: fmt.Sprintf("s-%d", i), Group: group, Consumer: "c"})
					require.NoError(t, err)
					w := startWaiting(t, m, nil)
					go func() {
						for {
							select {
							case d := <-w.got:
								got <- group + d.ID
							case <-t.Context().Done():
								return
							}
						}
					}()
				}
			}
			for i := range 300 {
				stream := fmt.Sprintf("s-%d", i*i%streams)
				if i%3 == 0 { // what another consumer takes, and one that reads nothing
					_, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"data", "{}"}}).Result()
					require.NoError(t, err)
					taken, err := client.XReadGroup(t.Context(), &redis.XReadGroupArgs{
						Group: "g", Consumer: "other", Streams: []string{stream, ">"}, Block: -1,
					}).Result()
					if err == nil {
						require.NotEmpty(t, taken)
					}
					for len(got) > 0 {
						<-got
					}
				}
				id := publish(t, b, stream, 1)[0]
				missing := map[string]bool{"g" + id: true, "h" + id: true}
				late := time.After(10 * time.Second)
				for len(missing) > 0 {
					select {
					case one := <-got:
						delete(missing, one)
					case <-late:
						require.Empty(t, missing, "entry %d", i)
					}
				}
			}
		})
	}
}

func TestOneKeyOfAnotherTypeHoldsUpNoOtherWakeUp(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL, shared), server.Client(t)
	failed := make(chan error, 1000)
	startWaiting(t, join(t, b, "bad", "c"), func(err error) { failed <- err; time.Sleep(10 * time.Millisecond) })
	good := startWaiting(t, join(t, b, "good", "c"), nil)
	require.Eventually(t, func() bool { return connected(t, client, "xread") == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, client.Del(t.Context(), "bad").Err())
	require.NoError(t, client.Set(t.Context(), "bad", "text", 0).Err())
	require.ErrorIs(t, <-failed, broker.ErrWrongType)
	for range 3 { // three seconds later the stream is not watched any more
		good.requireEntryWithin(t, 2*time.Second, publish(t, b, "good", 1)[0])
	}
}

// The group and the stream begin anew, with ids below those that were there.
func TestAStreamThatBeganAnewWakesWhoJoinedAgain(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL, shared), server.Client(t)
	first := join(t, b, "s", "c")
	ids := publish(t, b, "s", 1)
	require.Equal(t, ids, idsOf(read(t, first, 1)))
	keeper := startWaiting(t, join(t, b, "s", "other"), func(error) { time.Sleep(10 * time.Millisecond) })
	require.Eventually(t, func() bool { return connected(t, client, "xread") == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, client.Del(t.Context(), "s").Err())
	w := startWaiting(t, join(t, b, "s", "c"), nil)
	add := func(id string) {
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", ID: id, Values: []string{"data", "{}"}}).Err())
	}
	for _, id := range []string{"1-1", "1-2", "1-3"} {
		add(id)
		select {
		case d := <-w.got:
			require.Equal(t, id, d.ID)
		case d := <-keeper.got:
			require.Equal(t, id, d.ID)
		case <-time.After(10 * time.Second):
			require.Fail(t, "no wake-up", id)
		}
	}
}

func TestWakeUpsGoOnAfterACutConnection(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	proxy := testserver.Proxy(t, server.Addr)
	b := open(t, server.Via(proxy.Addr), shared)
	failed := make(chan error, 1000)
	w := startWaiting(t, join(t, b, "s", "c"), func(err error) {
		select {
		case failed <- err:
		default:
		}
		time.Sleep(10 * time.Millisecond)
	})
	client := server.Client(t)
	require.Eventually(t, func() bool { return connected(t, client, "xread") == 1 }, time.Minute, time.Millisecond)
	proxy.Down()
	require.Error(t, <-failed, "the members find out")
	proxy.Up()
	w.requireEntry(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []string{"data", "{}"}}).Val())
}

// Without the rights to the wake-up each member reads by itself, ten times a second.
func TestWithoutTheRightsToWakeUpsEntriesComeAllTheSame(t *testing.T) {
	t.Parallel()
	for _, denied := range []string{"-xread", "-client|id", "-client|unblock"} {
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			server := testserver.StartRedis(t, "--user", "worker", "on", ">secret", "~*", "+@all", denied)
			b := open(t, "redis://worker:secret@"+server.Addr, shared, func(c *redisbroker.Config) { c.Logger = slog.New(slog.DiscardHandler) })
			first := startWaiting(t, join(t, b, "first", "c"), nil)
			second := startWaiting(t, join(t, b, "second", "c"), nil)
			for range 3 {
				first.requireEntry(t, publish(t, b, "first", 1)[0])
				second.requireEntry(t, publish(t, b, "second", 1)[0])
			}
		})
	}
}

// A member that gets entries all the time has a connection of its own, which one
// leaves that gets none.
func TestABusyMemberGetsTheConnectionOfAnIdleOne(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	// Two connections wait: one for wake-ups, one for a member.
	b, client := open(t, server.URL, func(c *redisbroker.Config) { c.MaxConnections = 4 }), server.Client(t)
	startWaiting(t, join(t, b, "idle", "c"), nil)
	require.Eventually(t, func() bool { return connected(t, client, "xreadgroup") == 1 }, time.Minute, time.Millisecond)
	busy := startWaiting(t, join(t, b, "busy", "c"), nil)
	require.Eventually(t, func() bool {
		busy.requireEntry(t, publish(t, b, "busy", 1)[0])
		list, err := client.ClientList(t.Context()).Result()
		require.NoError(t, err)
		before := calls(t, client, "xread")
		for range 20 {
			busy.requireEntry(t, publish(t, b, "busy", 1)[0])
		}
		return strings.Contains(list, "cmd=xreadgroup ") && calls(t, client, "xread") <= before+2
	}, time.Minute, time.Millisecond, "entries of the busy stream take no wake-up any more")
}

func TestAStopDoesNotWaitForTheWakeUp(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL, shared), server.Client(t)
	m := join(t, b, "s", "c")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, _, err := m.Read(ctx, consumergroup.Read{Max: 1, Block: maxWait}); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	require.Eventually(t, func() bool { return connected(t, client, "xread") == 1 }, time.Minute, time.Millisecond)
	server.Pause()
	defer server.Resume()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(2 * time.Second): // a silent server is waited for five seconds
		require.Fail(t, "the stop waits")
	}
}
