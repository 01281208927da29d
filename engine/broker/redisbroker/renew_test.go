package redisbroker_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestARenewedEntryIsYoungAgain(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 2)
	read(t, s, 2)
	for _, id := range ids {
		require.NoError(t, client.Do(t.Context(), "XCLAIM", stream, "g", "c", 0, id, "IDLE", 3_600_000, "RETRYCOUNT", 4, "JUSTID").Err())
	}

	lost, err := s.Renew(t.Context(), entries(9, ids[0]))
	require.NoError(t, err)
	require.Empty(t, lost)
	old, err := client.XPendingExt(t.Context(), &redis.XPendingExtArgs{
		Stream: stream, Group: "g", Idle: 3_600_000_000_000, Start: "-", End: "+", Count: 10,
	}).Result()
	require.NoError(t, err)
	require.Len(t, old, 1)
	require.Equal(t, ids[1], old[0].ID)
	require.Equal(t, map[string]int64{ids[0]: 4, ids[1]: 4}, counts(t, client, stream, "c"), "at no cost")
}

func TestAnEntryWhoseBodyIsGoneIsRenewedButNotClaimedBack(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	read(t, s, 3)
	require.NoError(t, client.XDel(t.Context(), stream, ids[0]).Err())

	lost, err := s.Renew(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	require.Empty(t, lost, "its handler may still be at work")
	require.Equal(t, ids, idsOf(pending(t, s)))

	require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "c").Err())
	lost, err = s.Renew(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	require.Equal(t, ids[:1], lost)
	require.Equal(t, ids[1:], idsOf(pending(t, s)))
}

func TestWhatAGroupThatWasSetBackWillDeliverAgainIsNotClaimedBack(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	read(t, s, 3)
	require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "c").Err())
	require.NoError(t, client.XGroupSetID(t.Context(), stream, "g", ids[0]).Err())

	lost, err := s.Renew(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	require.Equal(t, ids[1:], lost)
	require.Equal(t, ids[:1], idsOf(pending(t, s)))
	require.Equal(t, ids[1:], idsOf(read(t, s, 10)))
}

// Ids are compared as numbers, however long.
func TestEntriesWithIDsOfAnyLengthAreClaimedBack(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := []string{"9-1", "10-0", "10-9", "10-10", "9007199254740992-0", "9007199254740993-0", "18446744073709551615-18446744073709551614"}
	for _, id := range ids {
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: id, Values: []any{"data", "{}"}}).Err())
	}
	require.Equal(t, ids, idsOf(read(t, s, 10)))
	for i, last := range ids {
		require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "c").Err())
		require.NoError(t, client.XGroupSetID(t.Context(), stream, "g", last).Err())
		lost, err := s.Renew(t.Context(), entries(1, ids...))
		require.NoError(t, err)
		require.Equal(t, ids[i+1:], append([]string{}, lost...))
		require.Equal(t, ids[:i+1], idsOf(pending(t, s)))
	}
}

// Of many entries that were dropped some are claimed back, then a reply is lost.
// The next renewal must not take the rest for acknowledged.
func TestARenewalThatFailedHalfwayIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	const n = 2300
	server, stream := testserver.Redis(t), testserver.Name(t)
	client := server.Client(t)
	proxy := testserver.Proxy(t, server.Addr)
	b := open(t, server.Via(proxy.Addr))
	s := join(t, b, stream, "c")
	pipe := client.Pipeline()
	for range n {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"data", "{}"}})
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	all := entries(1, idsOf(read(t, s, n))...)
	require.Len(t, all, n)
	require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "c").Err())

	// Only the script that claims sends attempts: these with its second batch.
	for i := n - 2000; i < n-1000; i++ {
		all[i].Attempts = 987654
	}
	dropped := proxy.DropReply("987654")
	_, err = s.Renew(t.Context(), all)
	<-dropped
	require.Error(t, err)
	got := counts(t, client, stream, "c")
	require.Greater(t, len(got), 1000)
	require.Less(t, len(got), n)

	lost, err := s.Renew(t.Context(), all)
	require.NoError(t, err)
	require.Empty(t, lost)
	require.Len(t, counts(t, client, stream, "c"), n)
}
