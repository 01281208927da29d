package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var attemptTests = []test{
	{"attempt/the announced call may not have been made", broker.ConsumerGroups, attemptCounts},
	{"attempt/one batch, each its own number", broker.ConsumerGroups, attemptBatch},
	{"attempt/does not revive what is settled", broker.ConsumerGroups, attemptSettled},
}

func attemptCounts(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	id := f.publish(t, 1)[0]
	s.read(t, 1)
	for announced := range 5 {
		require.Empty(t, s.attempt(t, heldWith(announced+1, id)...))
		require.Equal(t, map[string]int{id: announced}, callsOf(s.pending(t)))
	}
}

func attemptBatch(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	lost := s.attempt(t, consumergroup.Entry{ID: ids[0], Attempts: 4}, consumergroup.Entry{ID: ids[2], Attempts: 2})
	require.Empty(t, lost)
	require.Equal(t, map[string]int{ids[0]: 3, ids[1]: 0, ids[2]: 1}, callsOf(s.pending(t)))
	require.Empty(t, s.attempt(t), "nothing to do is nothing done")
}

func attemptSettled(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 2)
	s.ack(t, ids[0])

	lost := s.attempt(t, heldWith(2, ids...)...)
	require.ElementsMatch(t, []string{ids[0], ids[2]}, lost, "acknowledged, and never read")
	require.Equal(t, map[string]int{ids[1]: 1}, callsOf(s.pending(t)))
}
