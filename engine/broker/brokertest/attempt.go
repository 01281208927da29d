package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var attemptTests = []test{
	{"attempt/the recorded attempt may not have been made", broker.ConsumerGroups, attemptCounts},
	{"attempt/one batch, each its own number", broker.ConsumerGroups, attemptBatch},
	{"attempt/does not revive what is settled", broker.ConsumerGroups, attemptSettled},
}

func attemptCounts(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	id := f.publish(t, 1)[0]
	s.read(t, 1)
	for recorded := range 5 {
		require.Empty(t, s.attempt(t, entriesWith(recorded+1, id)...))
		require.Equal(t, map[string]int{id: recorded}, attemptsOf(s.pending(t)))
	}
}

func attemptBatch(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	lost := s.attempt(t, consumergroup.Entry{ID: ids[0], Attempts: 4}, consumergroup.Entry{ID: ids[2], Attempts: 2})
	require.Empty(t, lost)
	require.Equal(t, map[string]int{ids[0]: 3, ids[1]: 0, ids[2]: 1}, attemptsOf(s.pending(t)))
	require.Empty(t, s.attempt(t), "nothing to do is nothing done")
}

func attemptSettled(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 2)
	s.ack(t, ids[0])

	lost := s.attempt(t, entriesWith(2, ids...)...)
	require.ElementsMatch(t, []string{ids[0], ids[2]}, lost, "acknowledged, and never read")
	require.Equal(t, map[string]int{ids[1]: 1}, attemptsOf(s.pending(t)))
}
