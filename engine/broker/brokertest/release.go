package brokertest

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var releaseTests = []test{
	{"release/what a departing engine releases is claimed with its attempts", broker.ConsumerGroups, releaseKeepsAttempts},
	{"release/what is released has no consumer, and is not new", broker.ConsumerGroups, releasedWaits},
	{"release/claiming is bounded, and each entry goes to one", broker.ConsumerGroups, claimBounded},
	{"release/claiming says whether others are left", broker.ConsumerGroups, claimSaysMore},
	{"release/a delivery count out of reach costs its entry only", broker.ConsumerGroups, byHand(claimOutOfReach)},
	{"release/an entry can be released again", broker.ConsumerGroups, releaseAgain},
	{"release/what was released shows before it is claimed", broker.ConsumerGroups, releasedShows},
	{"release/only one's own group claims", broker.ConsumerGroups, claimInGroup},
}

func releaseKeepsAttempts(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	read := a.read(t, 3)
	lost := a.release(t, consumergroup.Entry{ID: ids[0]}, consumergroup.Entry{ID: ids[1], Attempts: 1}, consumergroup.Entry{ID: ids[2], Attempts: 7})
	require.Empty(t, lost)

	claimed := b.claim(t, 10)
	require.Equal(t, map[string]int{ids[0]: 0, ids[1]: 1, ids[2]: 7}, attemptsOf(claimed))
	for i := range claimed {
		claimed[i].Attempts = 0
	}
	require.ElementsMatch(t, read, claimed, "bodies included")
	require.Equal(t, ids, idsOf(b.pending(t)))
	b.ack(t, ids...)
	require.Empty(t, b.pending(t))
}

func releasedWaits(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	a.read(t, 2)
	require.Empty(t, b.claim(t, 10), "what a living consumer has is not claimed")
	require.Empty(t, a.release(t, entriesWith(1, ids[0])...))

	require.Equal(t, ids[1:2], idsOf(a.pending(t)))
	require.Empty(t, b.pending(t))
	require.Equal(t, ids[2:], idsOf(b.read(t, 10)))
	require.Equal(t, ids[:1], idsOf(a.claim(t, 10)), "also by who released it")
}

func claimBounded(t *testing.T, f *fixture) {
	a, b, c := f.join(t, "g", "a"), f.join(t, "g", "b"), f.join(t, "g", "c")
	ids := f.publish(t, 5)
	a.read(t, 5)
	a.release(t, entriesWith(1, ids...)...)

	first, second, none := b.claim(t, 2), c.claim(t, 10), b.claim(t, 10)
	require.Len(t, first, 2)
	require.Len(t, second, 3)
	require.Empty(t, none)
	require.ElementsMatch(t, ids, append(idsOf(first), idsOf(second)...))
}

func claimSaysMore(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	a.read(t, 3)
	a.release(t, entriesWith(1, ids...)...)
	for i, want := range []bool{true, true, false} {
		got, more, err := b.ClaimReleased(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, ids[i:i+1], idsOf(got), "oldest first")
		require.Equal(t, want, more)
	}
	got, more, err := b.ClaimReleased(t.Context(), 1)
	require.NoError(t, err)
	require.Empty(t, got)
	require.False(t, more)
}

func claimOutOfReach(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 3)
	a.read(t, 3)
	a.release(t, entriesWith(1, ids...)...)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "released", ids[1], outOfReach))

	require.Equal(t, map[string]int{ids[0]: 1, ids[1]: math.MaxInt, ids[2]: 1}, attemptsOf(b.claim(t, 10)))
	b.ack(t, ids[1]) // it can be settled as any other
	require.Equal(t, []string{ids[0], ids[2]}, idsOf(b.pending(t)))
}

func releaseAgain(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	id := f.publish(t, 1)[0]
	a.read(t, 1)
	a.release(t, entriesWith(1, id)...)
	b.claim(t, 1)
	require.Empty(t, b.attempt(t, entriesWith(2, id)...))
	require.Empty(t, b.release(t, entriesWith(2, id)...))
	require.Equal(t, map[string]int{id: 2}, attemptsOf(a.claim(t, 1)))
}

func releasedShows(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	becomes := func(want bool) {
		t.Helper()
		// What is asked all the time is answered by what was found a moment ago.
		require.Eventually(t, func() bool { return b.HasReleased() == want }, time.Minute, 10*time.Millisecond)
	}
	ids := f.publish(t, 1)
	a.read(t, 1)
	becomes(false)
	a.release(t, entriesWith(1, ids...)...)
	becomes(true)
	require.Equal(t, ids, idsOf(b.claim(t, 10)))
	becomes(false)
}

func claimInGroup(t *testing.T, f *fixture) {
	a, other := f.join(t, "g", "a"), f.join(t, "other", "a")
	ids := f.publish(t, 1)
	a.read(t, 1)
	a.release(t, entriesWith(1, ids...)...)
	require.Empty(t, other.claim(t, 10))
	require.Equal(t, ids, idsOf(a.claim(t, 10)))
}
