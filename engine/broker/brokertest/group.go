package brokertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var groupTests = []test{
	{"group/the position is that of the last delivery", broker.ConsumerGroups, positionFollows},
	{"group/every method says that a destroyed group is gone", broker.ConsumerGroups, byHand(destroyedSaysSo)},
	{"group/every method says that it is gone with its stream", broker.ConsumerGroups, byHand(deletedSaysSo)},
	{"group/a read that waits says so too", broker.ConsumerGroups | broker.BlockingRead, byHand(waitingSaysSo)},
	{"group/a dead letter is not written for a group that is gone", broker.ConsumerGroups | broker.DeadLetters, byHand(deadLetterOfNone)},
	{"group/made again it goes on where it was, what is in flight included", broker.ConsumerGroups, byHand(madeAgain)},
	{"group/what it will deliver again is not claimed back", broker.ConsumerGroups, byHand(notClaimedBack)},
}

func positionFollows(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	require.Equal(t, "0-0", s.position(t))
	ids := f.publish(t, 3)
	require.Equal(t, "0-0", s.position(t))
	s.read(t, 2)
	require.Equal(t, ids[1], s.position(t))
	f.join(t, "g", "other").read(t, 1)
	require.Equal(t, ids[2], s.position(t), "whichever consumer read")
	s.ack(t, ids...)
	require.Equal(t, ids[2], s.position(t))

	end := f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "end", Consumer: "c", FromEnd: true})
	require.Equal(t, ids[2], end.position(t))
}

func destroyedSaysSo(t *testing.T, f *fixture) {
	goneSaysSo(t, f, func() error { return f.operator.DestroyGroup(t.Context(), f.stream, "g") })
}

func deletedSaysSo(t *testing.T, f *fixture) {
	goneSaysSo(t, f, func() error { return f.operator.DeleteStream(t.Context(), f.stream) })
}

func goneSaysSo(t *testing.T, f *fixture, remove func() error) {
	ctx, s := t.Context(), f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.NoError(t, remove())

	for name, operation := range map[string]func() error{
		"read":           func() error { _, _, err := s.Read(ctx, consumergroup.Read{Max: 1}); return err },
		"read and ack":   func() error { _, _, err := s.Read(ctx, consumergroup.Read{Max: 1, Acks: ids}); return err },
		"pending":        func() error { _, _, err := s.Pending(ctx, consumergroup.List{Max: 1}); return err },
		"claim released": func() error { _, _, err := s.ClaimReleased(ctx, 1); return err },
		"ack":            func() error { return s.Ack(ctx, ids) },
		"attempt":        func() error { _, err := s.Attempt(ctx, entriesWith(1, ids...)); return err },
		"release":        func() error { _, err := s.Release(ctx, entriesWith(1, ids...)); return err },
		"renew":          func() error { _, err := s.Renew(ctx, entriesWith(1, ids...)); return err },
		"position":       func() error { _, _, err := s.Position(ctx); return err },
		"trim":           func() error { _, err := s.Trim(ctx, consumergroup.Retention{MaxLen: 1}); return err },
		"heartbeat":      func() error { _, err := s.Heartbeat(ctx); return err },
		"take over":      func() error { _, err := s.TakeOver(ctx, consumergroup.Consumer{Name: "d", Pending: 1}, 1); return err },
		"leave":          func() error { return s.Leave(ctx) },
	} {
		require.ErrorIs(t, operation(), consumergroup.ErrNoGroup, name)
	}
}

func waitingSaysSo(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	done, started := make(chan error, 1), make(chan struct{})
	go func() {
		close(started)
		for {
			if _, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: 100 * time.Millisecond}); err != nil {
				done <- err
				return
			}
		}
	}()
	<-started
	require.NoError(t, f.operator.DestroyGroup(t.Context(), f.stream, "g"))
	require.ErrorIs(t, <-done, consumergroup.ErrNoGroup)
}

func deadLetterOfNone(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.NoError(t, f.operator.DestroyGroup(t.Context(), f.stream, "g"))
	_, err := s.DeadLetter(t.Context(), []deadletter.Entry{{ID: ids[0], Data: []byte("{}")}})
	require.ErrorIs(t, err, consumergroup.ErrNoGroup)
	require.Empty(t, f.deadLetters(t))
}

func madeAgain(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 5)
	s.read(t, 3)
	s.ack(t, ids[0])
	require.NoError(t, f.operator.DestroyGroup(t.Context(), f.stream, "g"))

	again := f.resume(t, ids[2])
	require.Empty(t, again.renew(t, entriesWith(2, ids[1:3]...)...))
	require.Equal(t, map[string]int{ids[1]: 1, ids[2]: 1}, attemptsOf(again.pending(t)))
	require.Equal(t, ids[3:], idsOf(again.read(t, 10)))
	s.ack(t, ids[1:]...)
	require.Empty(t, s.pending(t), "the first membership serves the new group too")
}

func notClaimedBack(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.NoError(t, f.operator.DestroyGroup(t.Context(), f.stream, "g"))

	position, err := message.ParseEntryID(ids[0])
	require.NoError(t, err)
	again := f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c", Resume: position})
	require.Equal(t, ids[1:], again.renew(t, entriesWith(1, ids...)...))
	require.Equal(t, ids[:1], idsOf(again.pending(t)))
	require.Equal(t, ids[1:], idsOf(again.read(t, 10)))
}
