package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var renewTests = []test{
	{"renew/costs nothing", broker.ConsumerGroups, renewFree},
	{"renew/what another claimed is lost and left alone", broker.ConsumerGroups, renewLost},
	{"renew/what was acknowledged after others that are still owned is lost", broker.ConsumerGroups, renewAcked},
	{"renew/what was dropped with the consumer is claimed back", broker.ConsumerGroups, byHand(renewDropped)},
	{"renew/an entry that another consumer took stays lost", broker.ConsumerGroups, byHand(renewStolen)},
	{"renew/what is read after the deletion stays as it is", broker.ConsumerGroups, byHand(renewThenRead)},
	{"renew/what may be settled is never claimed back", broker.ConsumerGroups, byHand(renewSettled)},
	{"renew/many dropped entries are all claimed back", broker.ConsumerGroups, byHand(renewMany)},
}

func renewFree(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.Empty(t, s.attempt(t, entriesWith(4, ids[1])...))
	for range 3 {
		require.Empty(t, s.renew(t, entriesWith(9, ids...)...))
		require.Equal(t, map[string]int{ids[0]: 0, ids[1]: 3, ids[2]: 0}, attemptsOf(s.pending(t)))
	}
	require.Empty(t, s.renew(t), "nothing to do is nothing done")
}

func renewLost(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 3)
	require.Equal(t, ids[:1], a.renew(t, entriesWith(1, ids...)...))
	require.Equal(t, ids[1:], idsOf(a.pending(t)))
	require.Equal(t, ids[:1], idsOf(b.pending(t)))
}

func renewAcked(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	s.ack(t, ids[1])
	require.Equal(t, ids[1:2], s.renew(t, entriesWith(1, ids...)...), "this consumer was not deleted: it has the first")
	require.Equal(t, []string{ids[0], ids[2]}, idsOf(s.pending(t)))
}

func renewSettled(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 2)
	settled := entriesWith(1, ids...)
	settled[0].MayBeSettled, settled[1].MayBeSettled = true, true
	s.ack(t, ids[0])
	require.Empty(t, s.renew(t, settled...), "neither lost")
	require.Equal(t, ids[1:], idsOf(s.pending(t)), "nor back")
	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))
	require.Empty(t, s.renew(t, settled...))
	require.Empty(t, s.pending(t))
}

func renewDropped(t *testing.T, f *fixture) {
	s, other := f.join(t, "g", "c"), f.join(t, "g", "other")
	ids := f.publish(t, 4)
	s.read(t, 3)
	other.read(t, 1)
	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))

	lost := s.renew(t, consumergroup.Entry{ID: ids[0]}, consumergroup.Entry{ID: ids[1], Attempts: 5}, consumergroup.Entry{ID: ids[2], Attempts: 1})
	require.Empty(t, lost)
	require.Equal(t, map[string]int{ids[0]: 0, ids[1]: 4, ids[2]: 0}, attemptsOf(s.pending(t)), "with the attempts that were given")
	require.Equal(t, ids[3:], idsOf(other.pending(t)))
	require.Equal(t, ids[3], s.position(t), "the group stays where it was")
	s.ack(t, ids[:3]...)
	require.Empty(t, s.pending(t))
	require.Empty(t, s.read(t, 10))
}

func renewStolen(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "thief", ids[0], 1))
	require.Equal(t, ids[:1], s.renew(t, entriesWith(1, ids...)...))

	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))
	require.Equal(t, ids[:1], s.renew(t, entriesWith(1, ids...)...))
	require.Equal(t, ids[1:], idsOf(s.pending(t)))
	require.Equal(t, ids[:1], idsOf(f.join(t, "g", "thief").pending(t)))
}

func renewThenRead(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 4)
	s.read(t, 2)
	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))
	s.read(t, 2)
	s.ack(t, ids[3])
	require.Equal(t, ids[3:], s.renew(t, entriesWith(1, ids...)...))
	require.Equal(t, ids[:3], idsOf(s.pending(t)))
}

func renewMany(t *testing.T, f *fixture) {
	const n = 2300
	s := f.join(t, "g", "c")
	for range n {
		f.publishFields(t, data("x"))
	}
	ids := idsOf(s.read(t, n))
	require.Len(t, ids, n)
	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))
	require.Empty(t, s.renew(t, entriesWith(1, ids...)...))
	require.Equal(t, ids, idsOf(s.pending(t)))
	require.Empty(t, s.renew(t, entriesWith(1, ids...)...))
}
