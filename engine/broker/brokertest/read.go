package brokertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// maxBlock is the longest that a read may wait.
const maxBlock = time.Second

var readTests = []test{
	{"read/an empty stream gives nothing and no error", broker.ConsumerGroups, emptyRead},
	{"read/takes no more than asked", broker.ConsumerGroups, readBounded},
	{"read/an entry is read once, then pending", broker.ConsumerGroups, readOnce},
	{"read/waiting in vain gives nothing and no error", broker.ConsumerGroups | broker.BlockingRead, waitsInVain},
	{"read/waiting ends when an entry comes", broker.ConsumerGroups | broker.BlockingRead, waitsForEntry},
	{"read/waiting ends with its context, and strands nothing", broker.ConsumerGroups | broker.BlockingRead, waitCancelled},
	{"read/a context that has ended reads nothing", broker.ConsumerGroups, readCancelled},
}

func emptyRead(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	require.Empty(t, s.read(t, 10))
	require.Empty(t, s.pending(t))
}

func readBounded(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 5)
	require.Equal(t, ids[:2], idsOf(s.read(t, 2)))
	require.Equal(t, ids[2:4], idsOf(s.read(t, 2)))
	require.Equal(t, ids[4:], idsOf(s.read(t, 2)))
}

func readOnce(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	require.Equal(t, ids, idsOf(s.read(t, 10)))
	require.Empty(t, s.read(t, 10), "what is pending is not read again")
	require.Equal(t, ids, idsOf(s.pending(t)))
}

func waitsInVain(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: 20 * time.Millisecond})
	require.NoError(t, err)
	require.True(t, acked)
	require.Empty(t, got)
}

func waitsForEntry(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	read := make(chan []message.Delivery, 1)
	go func() {
		defer close(read)
		for {
			got, _, err := s.Read(ctx, consumergroup.Read{Max: 1, Block: maxBlock})
			if err != nil {
				return
			}
			if len(got) > 0 {
				read <- got
				return
			}
		}
	}()
	ids := f.publish(t, 1)
	require.Equal(t, ids, idsOf(<-read))
}

func waitCancelled(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := s.Read(ctx, consumergroup.Read{Max: 1, Block: maxBlock})
		done <- err
	}()
	cancel()
	if err := <-done; err != nil { // a read may also finish first
		require.ErrorIs(t, err, context.Canceled)
	}
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.Equal(t, ids, idsOf(s.pending(t)), "this consumer has it, whichever read took it")
}

func readCancelled(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	got, acked, err := s.Read(ctx, consumergroup.Read{Max: 1, Acks: ids[:1]})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, got)
	require.False(t, acked)
	require.Equal(t, ids[:1], idsOf(s.pending(t)), "neither acknowledged nor read")
	require.Equal(t, ids[1:], idsOf(s.read(t, 1)))
}
