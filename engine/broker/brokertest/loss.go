package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
)

var lossTests = []test{
	{"loss/what another adopted is reported and left alone", broker.ConsumerGroups, lostToAnother},
	{"loss/what was released is no longer one's own", broker.ConsumerGroups, lostByRelease},
	{"loss/the rest of the batch is still done", broker.ConsumerGroups, lostInPart},
	{"loss/another's entry is not parked", broker.ConsumerGroups | broker.DeadLetters, lostNotParked},
	{"loss/the rest of the batch is still parked", broker.ConsumerGroups | broker.DeadLetters, parkedInPart},
}

// handOver returns two seats after a read n entries and b adopted the first.
func handOver(t *testing.T, f *fixture, n int) (a, b seat, ids []string) {
	t.Helper()
	a, b = f.join(t, "g", "a"), f.join(t, "g", "b")
	ids = f.publish(t, n)
	a.read(t, n)
	require.Empty(t, a.release(t, heldWith(3, ids[0])...))
	require.Equal(t, ids[:1], idsOf(b.adopt(t, n)))
	return a, b, ids
}

func lostToAnother(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 1)
	before := b.pending(t)
	require.Equal(t, ids, a.attempt(t, heldWith(9, ids...)...))
	require.Equal(t, ids, a.release(t, heldWith(9, ids...)...))
	require.Equal(t, before, b.pending(t), "still b's, at the same count")
	require.Empty(t, a.adopt(t, 10))
}

func lostByRelease(t *testing.T, f *fixture) {
	a := f.join(t, "g", "a")
	ids := f.publish(t, 1)
	a.read(t, 1)
	require.Empty(t, a.release(t, heldWith(2, ids...)...))
	require.Equal(t, ids, a.attempt(t, heldWith(5, ids...)...))
	require.Equal(t, ids, a.release(t, heldWith(5, ids...)...))
	require.Equal(t, map[string]int{ids[0]: 2}, callsOf(a.adopt(t, 1)))
}

func lostInPart(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 3)
	require.Equal(t, ids[:1], a.attempt(t, heldWith(2, ids...)...))
	require.Equal(t, map[string]int{ids[1]: 1, ids[2]: 1}, callsOf(a.pending(t)))

	require.Equal(t, ids[:1], a.release(t, heldWith(2, ids...)...))
	require.Empty(t, a.pending(t))
	require.ElementsMatch(t, ids[1:], idsOf(b.adopt(t, 10)))
}

func lostNotParked(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 1)
	require.Equal(t, ids, a.park(t, lettersFor(ids...)...))
	require.Empty(t, f.letters(t))
	require.Equal(t, ids, idsOf(b.pending(t)))

	require.Empty(t, b.park(t, lettersFor(ids...)...))
	require.Equal(t, ids, b.park(t, lettersFor(ids...)...), "parked once is parked")
	require.Len(t, f.letters(t), 1)
}

func parkedInPart(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 3)
	require.Equal(t, ids[:1], a.park(t, lettersFor(ids...)...))
	require.Len(t, f.letters(t), 2)
	require.Empty(t, a.pending(t))
	require.Equal(t, ids[:1], idsOf(b.pending(t)))
}
