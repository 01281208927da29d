package redisbroker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestAKeyOfAnotherTypeIsNamedWithWhatItHolds(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	require.NoError(t, server.Client(t).RPush(t.Context(), stream, "x").Err())
	b := open(t, server.URL)

	_, err := b.Join(t.Context(), member(stream, "c"))
	require.ErrorIs(t, err, broker.ErrWrongType)
	require.ErrorContains(t, err, stream)
	require.ErrorContains(t, err, "holds a list")
	require.ErrorContains(t, err, "rename or delete")

	_, err = b.Publish(t.Context(), stream, text("{}"))
	require.ErrorIs(t, err, broker.ErrWrongType)
}

func TestAKeyThatTurnedIntoAnotherTypeFailsEveryOperation(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	id := publish(t, b, stream, 1)[0]
	require.NoError(t, server.Client(t).Del(t.Context(), stream).Err())
	require.NoError(t, server.Client(t).RPush(t.Context(), stream, "x").Err())

	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Acks: []string{id}})
	require.ErrorIs(t, err, broker.ErrWrongType)
	require.Empty(t, got)
	require.False(t, acked)
	_, _, err = s.Pending(t.Context(), consumergroup.List{Max: 1})
	require.ErrorIs(t, err, broker.ErrWrongType)
	_, err = s.Renew(t.Context(), entries(1, id))
	require.ErrorIs(t, err, broker.ErrWrongType)
	_, _, err = s.Position(t.Context())
	require.ErrorIs(t, err, broker.ErrWrongType)
	_, _, err = s.ClaimReleased(t.Context(), 1)
	require.ErrorIs(t, err, broker.ErrWrongType)
	require.ErrorIs(t, s.Ack(t.Context(), []string{id}), broker.ErrWrongType)
	_, err = s.Attempt(t.Context(), entries(2, id))
	require.ErrorIs(t, err, broker.ErrWrongType)
	_, err = s.Release(t.Context(), entries(2, id))
	require.ErrorIs(t, err, broker.ErrWrongType)
}

func TestAQueueOfAnotherTypeKeepsTheEntryPending(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 1)
	read(t, s, 1)
	queue := deadletter.QueueOf(stream)
	require.NoError(t, server.Client(t).RPush(t.Context(), queue, "x").Err())

	_, err := s.DeadLetter(t.Context(), []deadletter.Entry{{ID: ids[0], Data: []byte("{}")}})
	require.ErrorIs(t, err, broker.ErrWrongType)
	require.ErrorContains(t, err, `"`+queue+`" holds a list`)
	require.Equal(t, ids, idsOf(pending(t, s)))
}

func TestTheNameOfReleasedEntriesIsNoConsumers(t *testing.T) {
	t.Parallel()
	b := open(t, testserver.Redis(t).URL)
	_, err := b.Join(t.Context(), member(testserver.Name(t), redisbroker.Released))
	require.ErrorContains(t, err, "released")
	_, err = b.Join(t.Context(), consumergroup.Member{Stream: testserver.Name(t), Group: "g"})
	require.ErrorContains(t, err, `consumer ""`)
}

// A group that is gone is the caller's to make again: it knows where to resume.
func TestAGroupThatIsGoneIsNotMadeAgainByAReader(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]consumergroup.Read{
		"at once": {Max: 10},
		"waiting": {Max: 10, Block: maxWait},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, stream := testserver.Redis(t), testserver.Name(t)
			client, b := server.Client(t), open(t, server.URL)
			s := join(t, b, stream, "c")
			options.Acks = publish(t, b, stream, 1)
			read(t, s, 1)

			require.NoError(t, client.Del(t.Context(), stream).Err())
			publish(t, b, stream, 2)
			got, _, err := s.Read(t.Context(), options)
			require.ErrorIs(t, err, consumergroup.ErrNoGroup)
			require.ErrorContains(t, err, "was destroyed, or its stream was deleted")
			require.Empty(t, got)
			require.Empty(t, client.XInfoGroups(t.Context(), stream).Val())
		})
	}
}

func TestAReadThatWaitsForADeletedStreamSaysThatItsGroupIsGone(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	stream := testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	done := make(chan error, 1)
	go func() {
		for {
			if _, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait}); err != nil {
				done <- err
				return
			}
		}
	}()
	require.Eventually(t, func() bool {
		return strings.Contains(client.Info(t.Context(), "clients").Val(), "blocked_clients:1")
	}, time.Minute, time.Millisecond)
	require.NoError(t, client.Del(t.Context(), stream).Err())
	require.ErrorIs(t, <-done, consumergroup.ErrNoGroup)
}

func TestEntriesAddedByHandAreDeliveredAsTheyAre(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	s := join(t, open(t, server.URL), stream, "c")
	require.NoError(t, server.Client(t).Do(t.Context(), "XADD", stream, "7-1", "b", "2", "a", "1").Err())

	require.Equal(t, []message.Delivery{{
		Stream: stream, ID: "7-1",
		Fields: []message.Field{{Name: "b", Value: []byte("2")}, {Name: "a", Value: []byte("1")}},
	}}, read(t, s, 10))
}

func TestAUserWhoMayMakeNoGroupsJoinsThoseThatThereAre(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "worker", "on", ">pw", "~*", "+@all", "-xgroup")
	client := server.Client(t)
	require.NoError(t, client.XGroupCreateMkStream(t.Context(), "there", "g", "0").Err())
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return "redis://worker:pw@" + server.Addr, nil }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	_, err = b.Join(t.Context(), consumergroup.Member{Stream: "there", Group: "g", Consumer: "c"})
	require.NoError(t, err)
	_, err = b.Join(t.Context(), consumergroup.Member{Stream: "elsewhere", Group: "g", Consumer: "c"})
	require.ErrorContains(t, err, "NOPERM")

	// A group that is made at a position is made by a script.
	resumed := consumergroup.Member{Stream: "there", Group: "g", Consumer: "c", Resume: message.EntryID{Milliseconds: 1}}
	_, err = b.Join(t.Context(), resumed)
	require.NoError(t, err)
	resumed.Group = "other"
	_, err = b.Join(t.Context(), resumed)
	require.ErrorContains(t, err, "'xgroup|create'")
	require.ErrorContains(t, b.Ping(t.Context()), "'xgroup|create'")
	require.Len(t, client.XInfoGroups(t.Context(), "there").Val(), 1)
}
