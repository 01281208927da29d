package redisbroker_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// counts are the delivery counts that Redis keeps for a consumer.
func counts(t *testing.T, client *redis.Client, stream, consumer string) map[string]int64 {
	t.Helper()
	entries, err := client.XPendingExt(t.Context(), &redis.XPendingExtArgs{
		Stream: stream, Group: "g", Consumer: consumer, Start: "-", End: "+", Count: 10000,
	}).Result()
	require.NoError(t, err)
	got := map[string]int64{}
	for _, entry := range entries {
		got[entry.ID] = entry.RetryCount
	}
	return got
}

func TestOnlyAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	a, other := join(t, b, stream, "a"), join(t, b, stream, "other")
	id := publish(t, b, stream, 1)[0]

	read(t, a, 1)
	pending(t, a)
	require.Equal(t, map[string]int64{id: 1}, counts(t, client, stream, "a"), "a read leaves 1, listing changes nothing")

	_, err := a.Attempt(t.Context(), entries(2, id))
	require.NoError(t, err)
	require.Equal(t, map[string]int64{id: 2}, counts(t, client, stream, "a"), "the second call is announced")
	require.Equal(t, 1, pending(t, a)[0].Attempts, "and may not have been made")

	_, err = a.Release(t.Context(), entries(2, id))
	require.NoError(t, err)
	require.Equal(t, map[string]int64{id: 2}, counts(t, client, stream, redisbroker.Released))

	claimed, _, err := other.ClaimReleased(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 2, claimed[0].Attempts)
	require.Equal(t, map[string]int64{id: 2}, counts(t, client, stream, "other"), "taking over costs nothing")
}

func TestWhatAnotherProgramClaimedIsLeftToIt(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 2)
	read(t, s, 2)
	require.NoError(t, client.XClaimJustID(t.Context(), &redis.XClaimArgs{
		Stream: stream, Group: "g", Consumer: "python", Messages: ids[:1],
	}).Err())

	lost, err := s.Attempt(t.Context(), entries(5, ids...))
	require.NoError(t, err)
	require.Equal(t, ids[:1], lost)
	lost, err = s.DeadLetter(t.Context(), []deadletter.Entry{{ID: ids[0], Data: []byte("{}")}, {ID: ids[1], Data: []byte("{}")}})
	require.NoError(t, err)
	require.Equal(t, ids[:1], lost)
	require.Equal(t, map[string]int64{ids[0]: 1}, counts(t, client, stream, "python"))
	require.EqualValues(t, 1, client.XLen(t.Context(), deadletter.QueueOf(stream)).Val())
}

func TestADeadLetterHasItsTwoFieldsByteForByte(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	read(t, s, 3)
	raw := []byte{0xff, 0, '\r', '\n'}
	lost, err := s.DeadLetter(t.Context(), []deadletter.Entry{
		{ID: ids[0], Data: []byte(`{"price": 42.0}`)},
		{ID: ids[1], Data: []byte(`{}`), Raw: raw},
		{ID: ids[2], Data: []byte(`{}`), Raw: []byte{}},
	})
	require.NoError(t, err)
	require.Empty(t, lost)
	require.Empty(t, pending(t, s))

	deadLetters := read(t, join(t, b, deadletter.QueueOf(stream), "reader"), 10)
	require.Len(t, deadLetters, 3)
	require.Equal(t, []message.Field{text(`{"price": 42.0}`)}, deadLetters[0].Fields)
	require.Equal(t, []message.Field{text(`{}`), {Name: "raw", Value: raw}}, deadLetters[1].Fields)
	require.Equal(t, []message.Field{text(`{}`), {Name: "raw", Value: []byte{}}}, deadLetters[2].Fields)
}

func TestAnEntryWhoseBodyIsGoneIsDeliveredWithoutFields(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 3)
	read(t, s, 3)
	require.NoError(t, client.XDel(t.Context(), stream, ids[0], ids[1]).Err())

	got := pending(t, s)
	require.Equal(t, ids, idsOf(got))
	require.True(t, got[0].Gone())
	require.False(t, got[2].Gone())

	lost, err := s.Attempt(t.Context(), entries(2, ids...))
	require.NoError(t, err)
	require.Empty(t, lost, "no other consumer has it")
	lost, err = s.Attempt(t.Context(), entries(3, ids...))
	require.NoError(t, err)
	require.Empty(t, lost, "at the next call neither")

	lost, err = s.DeadLetter(t.Context(), []deadletter.Entry{{ID: ids[0], Data: []byte("{}")}})
	require.NoError(t, err)
	require.Empty(t, lost, "the handler had its text")
	require.NoError(t, s.Ack(t.Context(), ids[1:2]))
	require.Equal(t, ids[2:], idsOf(pending(t, s)))
}

func TestAReleasedEntryWhoseBodyIsGoneIsAdoptedOnceWithoutFields(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 2)
	read(t, s, 2)
	_, err := s.Release(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	require.NoError(t, client.XDel(t.Context(), stream, ids[0]).Err())

	claimed, _, err := s.ClaimReleased(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, ids, idsOf(claimed))
	require.True(t, claimed[0].Gone())
	require.NoError(t, s.Ack(t.Context(), ids))
	claimed, _, err = s.ClaimReleased(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, claimed)
	require.Empty(t, pending(t, s))
}

func TestManyEntriesAreSettledInBatches(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	const n = 2500
	pipe := client.Pipeline()
	for range n {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"data", "{}"}})
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	ids := idsOf(read(t, s, n))
	require.Len(t, ids, n)
	require.NoError(t, client.XAck(t.Context(), stream, "g", ids[0], ids[n-1]).Err())

	lost, err := s.Attempt(t.Context(), entries(2, ids...))
	require.NoError(t, err)
	require.Equal(t, []string{ids[0], ids[n-1]}, lost)
	lost, err = s.Release(t.Context(), entries(2, ids...))
	require.NoError(t, err)
	require.Equal(t, []string{ids[0], ids[n-1]}, lost)

	var claimed []string
	for more := true; more; {
		var page []message.Delivery
		page, more, err = s.ClaimReleased(t.Context(), n)
		require.NoError(t, err)
		require.NotEmpty(t, page)
		claimed = append(claimed, idsOf(page)...)
	}
	require.Equal(t, ids[1:n-1], claimed)

	deadLetters := make([]deadletter.Entry, 0, 250)
	for _, id := range claimed[:250] {
		deadLetters = append(deadLetters, deadletter.Entry{ID: id, Data: []byte("{}")})
	}
	lost, err = s.DeadLetter(t.Context(), deadLetters)
	require.NoError(t, err)
	require.Empty(t, lost)
	require.EqualValues(t, 250, client.XLen(t.Context(), deadletter.QueueOf(stream)).Val())

	_, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Acks: claimed[250:1500]})
	require.NoError(t, err)
	require.True(t, acked)
	require.NoError(t, s.Ack(t.Context(), claimed[1500:]))
	require.Empty(t, pending(t, s))
}

func TestNothingToSettleAsksNothing(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	s := join(t, open(t, server.URL), testserver.Name(t), "c")
	server.Stop()
	require.NoError(t, s.Ack(t.Context(), nil))
	lost, err := s.Attempt(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, lost)
	lost, err = s.DeadLetter(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, lost)
}

// A hundred are written by one script, the last by another, which the server refuses.
func TestARefusalAmongManyIsNotOneOfAll(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	a := join(t, b, stream, "a")
	publish(t, b, stream, 101)
	var dead []deadletter.Entry
	for _, d := range read(t, a, 101) {
		dead = append(dead, deadletter.Entry{ID: d.ID, Data: []byte("{}")})
	}
	require.Len(t, dead, 101)
	require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{ // a hundred ids are left above it
		Stream: deadletter.QueueOf(stream), ID: "18446744073709551615-18446744073709551515", Values: []string{"data", "{}"},
	}).Err())

	_, err := a.DeadLetter(t.Context(), dead)
	require.Error(t, err)
	require.NotErrorIs(t, err, consumergroup.ErrRefused, "a hundred are written")
	_, err = a.DeadLetter(t.Context(), dead[100:])
	require.ErrorIs(t, err, consumergroup.ErrRefused, "nothing of it is")
}
