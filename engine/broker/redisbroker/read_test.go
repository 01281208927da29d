package redisbroker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// maxWait is the longest wait that a Read may be asked for.
const maxWait = time.Second

func TestALostReplyOfAGroupReadStrandsNothing(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]time.Duration{"at once": 0, "waiting": maxWait} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, stream := testserver.Redis(t), testserver.Name(t)
			proxy := testserver.Proxy(t, server.Addr)
			b := open(t, server.Via(proxy.Addr))
			s := join(t, b, stream, "c")
			ids := publish(t, b, stream, 3)

			dropped := proxy.DropReply("XREADGROUP")
			got, _, err := s.Read(t.Context(), consumergroup.Read{Max: 2, Block: block})
			<-dropped
			require.Error(t, err, "a lost reply is told, not repeated")
			require.Empty(t, got)

			require.Equal(t, ids[:2], idsOf(pending(t, s)), "and what was in it can be found")
			require.Equal(t, ids[2:], idsOf(read(t, s, 10)))
		})
	}
}

func TestALostReplyOfAPublicationIsToldUnlessRetriesAreWanted(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)

	stream := testserver.Name(t)
	b := open(t, server.Via(proxy.Addr), shortTimeout)
	proxy.DropReply(stream)
	_, err := b.Publish(t.Context(), stream, text("{}"))
	require.Error(t, err)
	require.EqualValues(t, 1, server.Client(t).XLen(t.Context(), stream).Val())
}

func TestWhatTimedOutIsPublishedAgainIfWanted(t *testing.T) {
	t.Parallel()
	own := testserver.StartRedis(t)
	stream := testserver.Name(t)
	for wanted, tries := range map[bool]int{false: 1, true: 2} {
		calls := 0
		b := open(t, own.URL, shortTimeout, func(c *redisbroker.Config) {
			c.RetryOnTimeout = wanted
			c.URI = func() (string, error) { calls++; return own.URL, nil }
		})
		require.NoError(t, b.Ping(t.Context()))
		calls = 0
		own.Pause()
		_, err := b.Publish(t.Context(), stream, text("{}"))
		own.Resume()
		require.ErrorContains(t, err, "timeout")
		require.Equal(t, 2*tries, calls, "each try makes a connection, and asks where to and as whom")
	}
}

func TestAcknowledgementsAreReportedWhenTheReadFails(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "worker", "on", ">secret", "~*", "+@all", "-xreadgroup")
	stream := testserver.Name(t)
	admin := open(t, server.URL)
	reader := join(t, admin, stream, "c")
	ids := publish(t, admin, stream, 1)
	read(t, reader, 1)

	s := join(t, open(t, "redis://worker:secret@"+server.Addr), stream, "c")
	for _, block := range []time.Duration{0, maxWait} {
		_, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: block, Acks: ids})
		require.ErrorContains(t, err, "NOPERM")
		require.True(t, acked)
		require.Empty(t, pending(t, reader))
	}
}

func TestAnAcknowledgementThatFailsIsReported(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "worker", "on", ">secret", "~*", "+@all", "-xack")
	stream := testserver.Name(t)
	admin := open(t, server.URL)
	ids := publish(t, admin, stream, 2)
	s := join(t, open(t, "redis://worker:secret@"+server.Addr), stream, "c")
	read(t, s, 1)

	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Acks: ids[:1]})
	require.ErrorContains(t, err, "NOPERM")
	require.False(t, acked)
	require.Equal(t, ids[1:], idsOf(got), "what came with the error is not thrown away")
}

func TestAReadThatWaitsGetsTheNextEntry(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	var published sync.WaitGroup
	published.Go(func() { publish(t, b, stream, 1) })
	for {
		got, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait})
		require.NoError(t, err)
		if len(got) > 0 {
			break
		}
	}
	published.Wait()
}

func TestAReadOfNoneOnlyAcknowledges(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 2)
	read(t, s, 1)
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Acks: ids[:1], Block: maxWait})
	require.NoError(t, err)
	require.True(t, acked)
	require.Empty(t, got)
	require.Empty(t, pending(t, s))
}

// A hundred readers wait on a broker of eight connections, four of which are for
// that: one for wake-ups, and three that readers hold. An acknowledgement needs one of the others, at once.
func TestAHundredWaitingReadersLeaveRoomForAcknowledgements(t *testing.T) {
	t.Parallel()
	server, stream := testserver.StartRedis(t), testserver.Name(t)
	b := open(t, server.URL, func(c *redisbroker.Config) { c.MaxConnections = 8 })
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 50)
	read(t, s, 50)

	var done atomic.Bool
	var readers sync.WaitGroup
	defer readers.Wait()
	defer done.Store(true)
	for i := range 100 {
		reader := join(t, b, stream, fmt.Sprintf("c-%d", i))
		readers.Go(func() {
			for !done.Load() {
				if _, _, err := reader.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait}); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	watcher := server.Client(t)
	require.Eventually(t, func() bool {
		clients := watcher.ClientList(t.Context()).Val()
		return strings.Count(clients, "cmd=xreadgroup") >= 3 && strings.Count(clients, "cmd=xread ") == 1
	}, time.Minute, time.Millisecond, "three readers wait on the server, and the wake-up for the others")
	require.LessOrEqual(t, b.PoolActive(), 8)
	for _, id := range ids {
		require.NoError(t, s.Ack(t.Context(), []string{id}))
		clients := strings.Count(strings.TrimSpace(watcher.ClientList(t.Context()).Val()), "\n") + 1
		require.LessOrEqual(t, clients, 8+1, "the watcher is the ninth")
	}
	done.Store(true)
	readers.Wait()
	require.Eventually(t, func() bool { return b.PoolActive() == 0 }, time.Minute, time.Millisecond)
}

func TestAPoolThatIsFullSaysWhatToRaise(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL, func(c *redisbroker.Config) { c.MaxConnections, c.SocketTimeout = 1, time.Second })
	s := join(t, b, "s", "c")
	server.Pause()
	defer server.Resume()
	errs := make(chan error, 20)
	for range cap(errs) {
		go func() { errs <- s.Ack(t.Context(), []string{"1-1"}) }()
	}
	var all []error
	for range cap(errs) {
		all = append(all, <-errs)
	}
	require.ErrorContains(t, errors.Join(all...), "max_connections (1)")
}

func TestAReplicaIsLeftForTheNewMaster(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]time.Duration{"at once": 0, "waiting": maxWait} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, master := testserver.StartRedis(t), testserver.StartRedis(t)
			stream := testserver.Name(t)
			uri := old.URL
			b := open(t, old.URL, func(c *redisbroker.Config) {
				c.MaxConnections = 2
				c.URI = func() (string, error) { return uri, nil }
			})
			s := join(t, b, stream, "c")
			_, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: block / 100})
			require.NoError(t, err)

			require.NoError(t, master.Client(t).XGroupCreateMkStream(t.Context(), stream, "g", "0").Err())
			_, port, _ := strings.Cut(master.Addr, ":")
			require.NoError(t, old.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", port).Err())
			uri = master.URL
			_, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1, Block: block})
			if err != nil { // none where the connection was gone already
				require.ErrorContains(t, err, "READONLY")
				_, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1, Block: block / 100})
			}
			require.NoError(t, err, "the next connection is to the master")
		})
	}
}
