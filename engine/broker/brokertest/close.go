package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var closeTests = []test{
	{"close/an open broker answers, a closed one does not", 0, pingTellsClosed},
	{"close/is harmless when repeated", 0, closeTwice},
	{"close/every later operation says so", broker.ConsumerGroups, closedSaysSo},
	{"close/a dead letter is refused too", broker.ConsumerGroups | broker.DeadLetters, closedDeadLetters},
	{"close/ends a read that waits", broker.ConsumerGroups | broker.BlockingRead, closeEndsWait},
}

func pingTellsClosed(t *testing.T, f *fixture) {
	require.NoError(t, f.Ping(t.Context()))
	require.NoError(t, f.Close(t.Context()))
	require.ErrorIs(t, f.Ping(t.Context()), broker.ErrClosed)
}

func closeTwice(t *testing.T, f *fixture) {
	require.NoError(t, f.Close(t.Context()))
	require.NoError(t, f.Close(t.Context()))
}

func closedSaysSo(t *testing.T, f *fixture) {
	ctx, s := t.Context(), f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.NoError(t, f.Close(ctx))

	operations := map[string]func() error{
		"publish": func() error { _, err := f.Publish(ctx, f.stream, data("x")); return err },
		"join": func() error {
			_, err := f.Join(ctx, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c"})
			return err
		},
		"read":           func() error { _, _, err := s.Read(ctx, consumergroup.Read{Max: 1}); return err },
		"pending":        func() error { _, _, err := s.Pending(ctx, consumergroup.List{Max: 1}); return err },
		"claim released": func() error { _, _, err := s.ClaimReleased(ctx, 1); return err },
		"ack":            func() error { return s.Ack(ctx, ids) },
		"attempt":        func() error { _, err := s.Attempt(ctx, entriesWith(1, ids...)); return err },
		"renew":          func() error { _, err := s.Renew(ctx, entriesWith(1, ids...)); return err },
		"position":       func() error { _, _, err := s.Position(ctx); return err },
		"heartbeat":      func() error { _, err := s.Heartbeat(ctx); return err },
		"take over":      func() error { _, err := s.TakeOver(ctx, consumergroup.Consumer{Name: "d", Pending: 1}, 1); return err },
		"leave":          func() error { return s.Leave(ctx) },
		"release":        func() error { _, err := s.Release(ctx, entriesWith(1, ids...)); return err },
	}
	for name, operation := range operations {
		require.ErrorIs(t, operation(), broker.ErrClosed, name)
	}
}

func closedDeadLetters(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.NoError(t, f.Close(t.Context()))
	_, err := s.DeadLetter(t.Context(), deadLettersFor(ids...))
	require.ErrorIs(t, err, broker.ErrClosed)
}

func closeEndsWait(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	done, started := make(chan error, 1), make(chan struct{})
	go func() {
		close(started)
		for {
			if _, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxBlock}); err != nil {
				done <- err
				return
			}
		}
	}()
	<-started
	require.NoError(t, f.Close(t.Context()))
	require.ErrorIs(t, <-done, broker.ErrClosed)
}
