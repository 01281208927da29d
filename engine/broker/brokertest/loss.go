package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
)

var lossTests = []test{
	{"loss/what another claimed is reported and left alone", broker.ConsumerGroups, lostToAnother},
	{"loss/what was released is no longer one's own", broker.ConsumerGroups, lostByRelease},
	{"loss/the rest of the batch is still done", broker.ConsumerGroups, lostInPart},
	{"loss/another's entry is not dead-lettered", broker.ConsumerGroups | broker.DeadLetters, lostNotDeadLettered},
	{"loss/the rest of the batch is still dead-lettered", broker.ConsumerGroups | broker.DeadLetters, deadLetteredInPart},
}

// handOver returns two members after a read n entries and b claimed the first.
func handOver(t *testing.T, f *fixture, n int) (a, b membership, ids []string) {
	t.Helper()
	a, b = f.join(t, "g", "a"), f.join(t, "g", "b")
	ids = f.publish(t, n)
	a.read(t, n)
	require.Empty(t, a.release(t, entriesWith(3, ids[0])...))
	require.Equal(t, ids[:1], idsOf(b.claim(t, n)))
	return a, b, ids
}

func lostToAnother(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 1)
	before := b.pending(t)
	require.Equal(t, ids, a.attempt(t, entriesWith(9, ids...)...))
	require.Equal(t, ids, a.release(t, entriesWith(9, ids...)...))
	require.Equal(t, before, b.pending(t), "still b's, at the same count")
	require.Empty(t, a.claim(t, 10))
}

func lostByRelease(t *testing.T, f *fixture) {
	a := f.join(t, "g", "a")
	ids := f.publish(t, 1)
	a.read(t, 1)
	require.Empty(t, a.release(t, entriesWith(2, ids...)...))
	require.Equal(t, ids, a.attempt(t, entriesWith(5, ids...)...))
	require.Equal(t, ids, a.release(t, entriesWith(5, ids...)...))
	require.Equal(t, map[string]int{ids[0]: 2}, attemptsOf(a.claim(t, 1)))
}

func lostInPart(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 3)
	require.Equal(t, ids[:1], a.attempt(t, entriesWith(2, ids...)...))
	require.Equal(t, map[string]int{ids[1]: 1, ids[2]: 1}, attemptsOf(a.pending(t)))

	require.Equal(t, ids[:1], a.release(t, entriesWith(2, ids...)...))
	require.Empty(t, a.pending(t))
	require.ElementsMatch(t, ids[1:], idsOf(b.claim(t, 10)))
}

func lostNotDeadLettered(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 1)
	require.Equal(t, ids, a.deadLetter(t, deadLettersFor(ids...)...))
	require.Empty(t, f.deadLetters(t))
	require.Equal(t, ids, idsOf(b.pending(t)))

	require.Empty(t, b.deadLetter(t, deadLettersFor(ids...)...))
	require.Equal(t, ids, b.deadLetter(t, deadLettersFor(ids...)...), "written once is written")
	require.Len(t, f.deadLetters(t), 1)
}

func deadLetteredInPart(t *testing.T, f *fixture) {
	a, b, ids := handOver(t, f, 3)
	require.Equal(t, ids[:1], a.deadLetter(t, deadLettersFor(ids...)...))
	require.Len(t, f.deadLetters(t), 2)
	require.Empty(t, a.pending(t))
	require.Equal(t, ids[:1], idsOf(b.pending(t)))
}
