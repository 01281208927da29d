package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var releaseTests = []test{
	{"release/what a departing engine releases is adopted with its calls", broker.ConsumerGroups, releaseKeepsCalls},
	{"release/what is released is nobody's, and not new", broker.ConsumerGroups, releasedWaits},
	{"release/adopting is bounded, and each entry goes to one", broker.ConsumerGroups, adoptBounded},
	{"release/an entry can be released again", broker.ConsumerGroups, releaseAgain},
	{"release/only one's own group adopts", broker.ConsumerGroups, adoptInGroup},
}

func releaseKeepsCalls(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	read := a.read(t, 3)
	lost := a.release(t, consumergroup.Entry{ID: ids[0]}, consumergroup.Entry{ID: ids[1], Attempts: 1}, consumergroup.Entry{ID: ids[2], Attempts: 7})
	require.Empty(t, lost)

	adopted := b.adopt(t, 10)
	require.Equal(t, map[string]int{ids[0]: 0, ids[1]: 1, ids[2]: 7}, callsOf(adopted))
	for i := range adopted {
		adopted[i].Attempts = 0
	}
	require.ElementsMatch(t, read, adopted, "bodies included")
	require.Equal(t, ids, idsOf(b.pending(t)))
	b.ack(t, ids...)
	require.Empty(t, b.pending(t))
}

func releasedWaits(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	a.read(t, 2)
	require.Empty(t, b.adopt(t, 10), "what a living consumer has is not adopted")
	require.Empty(t, a.release(t, heldWith(1, ids[0])...))

	require.Equal(t, ids[1:2], idsOf(a.pending(t)))
	require.Empty(t, b.pending(t))
	require.Equal(t, ids[2:], idsOf(b.read(t, 10)))
	require.Equal(t, ids[:1], idsOf(a.adopt(t, 10)), "also by who released it")
}

func adoptBounded(t *testing.T, f *fixture) {
	a, b, c := f.join(t, "g", "a"), f.join(t, "g", "b"), f.join(t, "g", "c")
	ids := f.publish(t, 5)
	a.read(t, 5)
	a.release(t, heldWith(1, ids...)...)

	first, second, none := b.adopt(t, 2), c.adopt(t, 10), b.adopt(t, 10)
	require.Len(t, first, 2)
	require.Len(t, second, 3)
	require.Empty(t, none)
	require.ElementsMatch(t, ids, append(idsOf(first), idsOf(second)...))
}

func releaseAgain(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	id := f.publish(t, 1)[0]
	a.read(t, 1)
	a.release(t, heldWith(1, id)...)
	b.adopt(t, 1)
	require.Empty(t, b.attempt(t, heldWith(2, id)...))
	require.Empty(t, b.release(t, heldWith(2, id)...))
	require.Equal(t, map[string]int{id: 2}, callsOf(a.adopt(t, 1)))
}

func adoptInGroup(t *testing.T, f *fixture) {
	a, other := f.join(t, "g", "a"), f.join(t, "other", "a")
	ids := f.publish(t, 1)
	a.read(t, 1)
	a.release(t, heldWith(1, ids...)...)
	require.Empty(t, other.adopt(t, 10))
	require.Equal(t, ids, idsOf(a.adopt(t, 10)))
}
