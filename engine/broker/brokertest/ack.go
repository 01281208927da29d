package brokertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var ackTests = []test{
	{"ack/ends an entry", broker.ConsumerGroups, ackEnds},
	{"ack/repeated or unknown is harmless", broker.ConsumerGroups, ackHarmless},
	{"ack/rides along with a read", broker.ConsumerGroups, ackWithRead},
	{"ack/rides along with a read that waits", broker.ConsumerGroups | broker.BlockingRead, ackWithWait},
}

func ackEnds(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	s.ack(t, ids[0], ids[2])
	require.Equal(t, ids[1:2], idsOf(s.pending(t)))
	require.Empty(t, s.read(t, 3), "what is acknowledged never comes back")
}

func ackHarmless(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 1)
	s.ack(t)
	s.ack(t, ids[0])
	s.ack(t, ids[0], "1-1")
	s.ack(t, ids[1]) // not read yet
	require.Equal(t, ids[1:], idsOf(s.read(t, 1)), "an entry cannot be acknowledged before it is read")
}

func ackWithRead(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 4)
	s.read(t, 2)

	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 2, Acks: ids[:1]})
	require.NoError(t, err)
	require.True(t, acked)
	require.Equal(t, ids[2:], idsOf(got))
	require.Equal(t, ids[1:], idsOf(s.pending(t)))

	got, acked, err = s.Read(t.Context(), consumergroup.Read{Max: 2, Acks: ids[1:]})
	require.NoError(t, err)
	require.True(t, acked, "also where nothing is left to read")
	require.Empty(t, got)
	require.Empty(t, s.pending(t))
}

func ackWithWait(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)

	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: 20 * time.Millisecond, Acks: ids})
	require.NoError(t, err)
	require.True(t, acked)
	require.Empty(t, got)
	require.Empty(t, s.pending(t))
}
