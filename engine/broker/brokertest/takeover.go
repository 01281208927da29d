package brokertest

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var takeoverTests = []test{
	{"takeover/a heartbeat lists the others that have something pending", broker.ConsumerGroups, heartbeatLists},
	{"takeover/a heartbeat leaves what is pending as it is", broker.ConsumerGroups, heartbeatKeeps},
	{"takeover/what a dead consumer left is taken one by one, oldest first, at no cost", broker.ConsumerGroups, takeOverOneByOne},
	{"takeover/nothing is taken of a consumer that was seen", broker.ConsumerGroups, takeOverNotOfSeen},
	{"takeover/nothing is taken of a consumer whose list has changed", broker.ConsumerGroups, takeOverNotOfChanged},
	{"takeover/what is taken is not idle any more, nor is who took it", broker.ConsumerGroups, takeOverShowsLife},
	{"takeover/what was never attempted is on record as a read leaves it", broker.ConsumerGroups, byHand(takeOverNeverAttempted)},
	{"takeover/a delivery count out of reach costs its entry only", broker.ConsumerGroups, byHand(takeOverOutOfReach)},
	{"takeover/of several that saw the same, one takes over", broker.ConsumerGroups, takeOverRace},
	{"takeover/a consumer that leaves keeps what it has pending", broker.ConsumerGroups, leaveKeeps},
}

// idleFor is short enough to be waited for.
const idleFor = 20 * time.Millisecond

func heartbeatLists(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	f.join(t, "g", "c").read(t, 0)
	ids := f.publish(t, 5)
	a.read(t, 2)
	b.read(t, 3)
	require.Empty(t, b.release(t, entriesWith(1, ids[2])...))

	others := a.consumers(t)
	require.Len(t, others, 1, "not itself, not those without entries, and not what was released")
	require.Equal(t, 2, others["b"].Pending)
	a.ack(t, ids[0])
	require.Equal(t, 1, b.consumers(t)["a"].Pending)
	a.ack(t, ids[1])
	require.Empty(t, b.consumers(t))
}

func heartbeatKeeps(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	require.Empty(t, s.consumers(t))
	ids := f.publish(t, 3)
	s.read(t, 2)
	s.attempt(t, entriesWith(3, ids[0])...)
	require.Empty(t, s.consumers(t))
	require.Equal(t, map[string]int{ids[0]: 2, ids[1]: 0}, attemptsOf(s.pending(t)))
	s.ack(t, ids[:2]...)
	require.Empty(t, s.consumers(t))
	require.Equal(t, ids[2:], idsOf(s.read(t, 10)), "it is still a consumer of the group")
}

func takeOverOneByOne(t *testing.T, f *fixture) {
	dead, s := f.join(t, "g", "dead"), f.join(t, "g", "c")
	ids := f.publish(t, 3)
	bodies := dead.read(t, 3)
	dead.attempt(t, entriesWith(4, ids[1])...)

	from := s.idle(t, "dead", idleFor)
	require.Equal(t, 3, from.Pending)
	for i, attempts := range []int{1, 4, 1} {
		got := s.takeOver(t, from, idleFor)
		require.Equal(t, ids[i:i+1], idsOf(got))
		require.Equal(t, attempts, got[0].Attempts, "the attempts on record")
		require.Equal(t, bodies[i].Fields, got[0].Fields)
		require.ElementsMatch(t, ids[i+1:], idsOf(dead.pending(t)), "one at a time")
		from.Pending--
	}
	require.Equal(t, map[string]int{ids[0]: 0, ids[1]: 3, ids[2]: 0}, attemptsOf(s.pending(t)))
	require.Empty(t, s.takeOver(t, from, idleFor))
}

func takeOverNotOfSeen(t *testing.T, f *fixture) {
	dead, s := f.join(t, "g", "dead"), f.join(t, "g", "c")
	ids := f.publish(t, 3)
	dead.read(t, 2)
	from := s.idle(t, "dead", idleFor)
	require.Empty(t, s.takeOver(t, from, time.Hour), "it is not idle for so long")

	dead.renew(t, entriesWith(1, ids[:2]...)...)
	require.Empty(t, s.takeOver(t, from, 5*time.Second), "it renewed what it has")
	from = s.idle(t, "dead", idleFor)
	dead.read(t, 1)
	from.Pending++
	require.Empty(t, s.takeOver(t, from, 5*time.Second), "it read")
	require.Equal(t, ids, idsOf(dead.pending(t)))
}

func takeOverNotOfChanged(t *testing.T, f *fixture) {
	dead, s := f.join(t, "g", "dead"), f.join(t, "g", "c")
	ids := f.publish(t, 3)
	dead.read(t, 3)
	from := s.idle(t, "dead", idleFor)
	dead.ack(t, ids[2])
	require.Empty(t, s.takeOver(t, from, idleFor), "it acknowledges")
	require.Equal(t, ids[:2], idsOf(dead.pending(t)))
	require.Empty(t, s.takeOver(t, consumergroup.Consumer{Name: "other"}, idleFor), "there is none of this name")
	require.Equal(t, ids[:1], idsOf(s.takeOver(t, s.consumers(t)["dead"], idleFor)))
}

func takeOverShowsLife(t *testing.T, f *fixture) {
	dead, s, other := f.join(t, "g", "dead"), f.join(t, "g", "c"), f.join(t, "g", "other")
	f.publish(t, 1)
	dead.read(t, 1)
	const long = time.Second
	require.Len(t, s.takeOver(t, s.idle(t, "dead", long), long), 1)
	taker := other.consumers(t)["c"]
	require.Equal(t, 1, taker.Pending)
	require.Less(t, taker.Idle, long)
	require.Empty(t, other.takeOver(t, taker, long))
}

func takeOverNeverAttempted(t *testing.T, f *fixture) {
	dead, s := f.join(t, "g", "dead"), f.join(t, "g", "c")
	ids := f.publish(t, 1)
	dead.read(t, 1)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "dead", ids[0], 0))
	got := s.takeOver(t, s.idle(t, "dead", idleFor), idleFor)
	require.Equal(t, map[string]int{ids[0]: 0}, attemptsOf(got))
	next := f.join(t, "g", "next")
	got = next.takeOver(t, next.idle(t, "c", idleFor), idleFor)
	require.Equal(t, map[string]int{ids[0]: 1}, attemptsOf(got), "one attempt, which may not have been made")
}

func takeOverOutOfReach(t *testing.T, f *fixture) {
	dead, s := f.join(t, "g", "dead"), f.join(t, "g", "c")
	ids := f.publish(t, 2)
	dead.read(t, 2)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "dead", ids[0], outOfReach))
	from := s.idle(t, "dead", idleFor)
	require.Equal(t, map[string]int{ids[0]: math.MaxInt}, attemptsOf(s.takeOver(t, from, idleFor)))
	from.Pending--
	require.Equal(t, map[string]int{ids[1]: 1}, attemptsOf(s.takeOver(t, from, idleFor)))
}

func takeOverRace(t *testing.T, f *fixture) {
	dead := f.join(t, "g", "dead")
	ids := f.publish(t, 40)
	dead.read(t, 40)
	members := []membership{f.join(t, "g", "a"), f.join(t, "g", "b"), f.join(t, "g", "c")}
	from := members[0].idle(t, "dead", idleFor)

	var mu sync.Mutex
	var taken []string
	var takers sync.WaitGroup
	for _, s := range members {
		takers.Go(func() {
			from := from // as it was seen
			for {
				got, err := s.TakeOver(t.Context(), from, idleFor)
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				from.Pending -= len(got)
				mu.Lock()
				taken = append(taken, idsOf(got)...)
				mu.Unlock()
			}
		})
	}
	takers.Wait()
	require.NotEmpty(t, taken)
	var owned []message.Delivery
	for _, s := range members {
		owned = append(owned, s.pending(t)...)
	}
	require.ElementsMatch(t, taken, idsOf(owned), "each went to one")
	require.ElementsMatch(t, ids, append(taken, idsOf(dead.pending(t))...), "and none is lost")
	require.Equal(t, ids, taken, "by one that goes on")
}

func leaveKeeps(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 1)
	require.NoError(t, s.Leave(t.Context()))
	require.Equal(t, ids[:1], idsOf(s.pending(t)))
	s.ack(t, ids[0])
	require.NoError(t, s.Leave(t.Context()))
	require.NoError(t, s.Leave(t.Context()), "twice is harmless")
	require.Equal(t, ids[1:], idsOf(s.read(t, 10)), "the group is as it was")
}
