package redisbroker_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// consumersOf are all consumers of the group "g".
func consumersOf(t *testing.T, client redis.UniversalClient, stream string) map[string]redis.XInfoConsumer {
	t.Helper()
	list, err := client.XInfoConsumers(t.Context(), stream, "g").Result()
	require.NoError(t, err)
	byName := make(map[string]redis.XInfoConsumer)
	for _, c := range list {
		byName[c.Name] = c
	}
	return byName
}

func heartbeat(t *testing.T, m consumergroup.Membership) []consumergroup.Consumer {
	t.Helper()
	others, err := m.Heartbeat(t.Context())
	require.NoError(t, err)
	return others
}

// Up to Redis 7.0 the idle time of a consumer grows while it waits in a read.
func TestAConsumerThatWaitsInAReadShowsLifeAndGetsItsEntry(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	require.Empty(t, heartbeat(t, s))
	require.Contains(t, consumersOf(t, client, stream), "c", "a consumer that never got anything is one")

	got := make(chan int)
	go func() {
		n := 0
		for n < 3 && t.Context().Err() == nil {
			entries, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: time.Second})
			if err != nil {
				t.Error(err)
				break
			}
			n += len(entries)
		}
		got <- n
	}()
	for range 3 {
		for range 100 {
			require.Empty(t, heartbeat(t, s))
			require.Less(t, consumersOf(t, client, stream)["c"].Idle, 500*time.Millisecond)
		}
		id := publish(t, b, stream, 1)[0]
		require.Eventually(t, func() bool { return len(counts(t, client, stream, "c")) == 1 }, 5*time.Second, time.Millisecond)
		for range 100 {
			heartbeat(t, s) // what is pending is not dropped
		}
		require.Equal(t, map[string]int64{id: 1}, counts(t, client, stream, "c"))
		require.NoError(t, s.Ack(t.Context(), []string{id}))
	}
	require.Equal(t, 3, <-got)
}

func TestAConsumerThatIsGoneIsDeletedOnceItHasNothingPending(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s, holder, gone := join(t, b, stream, "c"), join(t, b, stream, "holder"), join(t, b, stream, "gone")
	ids := publish(t, b, stream, 2)
	read(t, holder, 1)
	read(t, gone, 1)
	require.NoError(t, gone.Ack(t.Context(), ids[1:]))
	heartbeat(t, s)
	require.Len(t, consumersOf(t, client, stream), 3, "none is idle for an hour")

	redisbroker.SetGoneAfter(b, -1)
	heartbeat(t, s)
	left := consumersOf(t, client, stream)
	require.Len(t, left, 2)
	require.Contains(t, left, "c")
	require.EqualValues(t, 1, left["holder"].Pending)
}

func TestAConsumerThatLeavesIsDeleted(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 1)
	read(t, s, 1)
	require.NoError(t, s.Leave(t.Context()))
	require.Equal(t, map[string]int64{ids[0]: 1}, counts(t, client, stream, "c"))
	require.NoError(t, s.Ack(t.Context(), ids))
	require.NoError(t, s.Leave(t.Context()))
	require.Empty(t, consumersOf(t, client, stream))
}

func TestEntriesOfADeadConsumerWhoseBodyIsGoneHoldUpNothing(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	dead, s := join(t, b, stream, "dead"), join(t, b, stream, "c")
	ids := publish(t, b, stream, 152)
	read(t, dead, 152)
	require.NoError(t, client.XDel(t.Context(), stream, ids[:150]...).Err())

	from := consumergroup.Consumer{Name: "dead", Pending: 152}
	var got []string
	for _, want := range []int{100, 51, 1} {
		page, err := s.TakeOver(t.Context(), from, 0)
		require.NoError(t, err)
		require.Len(t, page, want)
		for _, d := range page {
			require.Equal(t, len(got) < 150, d.Gone())
			got = append(got, d.ID)
		}
		from.Pending -= want
	}
	require.Equal(t, ids, got)
	require.Equal(t, map[string]int64{ids[150]: 1, ids[151]: 1}, counts(t, client, stream, "c"))
	require.Empty(t, counts(t, client, stream, "dead"), "what has no body is acknowledged")
}

// XNACK of Redis 8.8 leaves entries without an owner: XPENDING lists them with the
// empty consumer.
func TestEntriesWithoutAnOwnerAreClaimedAtOnce(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	holder, s := join(t, b, stream, "holder"), join(t, b, stream, "c")
	ids := publish(t, b, stream, 1205)
	read(t, holder, 1205)
	unowned := ids[1200:]
	for i, id := range unowned {
		require.NoError(t, client.Do(t.Context(), "XCLAIM", stream, "g", "", 0, id, "RETRYCOUNT", i, "JUSTID").Err())
	}
	require.Len(t, heartbeat(t, s), 1, "who has no name is not a consumer that may be dead")

	got, more, err := s.ClaimReleased(t.Context(), 3)
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, unowned[:3], idsOf(got))
	require.Equal(t, 2, got[2].Attempts)
	got, more, err = s.ClaimReleased(t.Context(), 3)
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, unowned[3:], idsOf(got))
	require.Equal(t, int64(1200), consumersOf(t, client, stream)["holder"].Pending, "which lives")
	require.Equal(t, map[string]int64{unowned[0]: 1, unowned[1]: 1, unowned[2]: 2, unowned[3]: 3, unowned[4]: 4}, counts(t, client, stream, "c"))
}
