package brokertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var queueTests = []test{
	{"queue/is read in pages, from its first entry to its last", broker.ConsumerGroups | broker.DeadLetters, queuePages},
	{"queue/one that does not exist is empty", broker.ConsumerGroups | broker.DeadLetters, queueEmpty},
	{"queue/a replay reaches the group that failed alone, with its attempts anew", broker.ConsumerGroups | broker.DeadLetters, replayReachesOneGroup},
	{"queue/a replay leaves what is pending with its consumer", broker.ConsumerGroups | broker.DeadLetters, replayOfPending},
	{"queue/a replay of what is not delivered yet claims nothing", broker.ConsumerGroups | broker.DeadLetters, replayOfUndelivered},
	{"queue/a replay of what is gone changes nothing", broker.ConsumerGroups | broker.DeadLetters, replayOfGone},
	{"queue/a replay to a group that does not exist is refused", broker.ConsumerGroups | broker.DeadLetters, replayToNoGroup},
	{"queue/a copy replaces its dead letter, once", broker.ConsumerGroups | broker.DeadLetters, copyOnce},
	{"queue/entries are added and deleted", broker.ConsumerGroups | broker.DeadLetters, queueEdits},
	{"queue/is trimmed exactly", broker.ConsumerGroups | broker.DeadLetters, queueTrims},
	{"queue/one process maintains it", broker.ConsumerGroups | broker.DeadLetters, queueLeader},
	{"queue/an alert is due at the crossing, and when it lasts", broker.ConsumerGroups | broker.DeadLetters, queueAlert},
	{"queue/the groups of a stream and their consumers are listed", broker.ConsumerGroups | broker.DeadLetters, queueGroups},
}

// queue is what the broker offers on the queue of the test's stream.
func (f *fixture) queue(t *testing.T) deadletter.Queue {
	t.Helper()
	q, ok := f.Broker.(deadletter.Queue)
	require.True(t, ok, "a broker with dead deadLetters has queues")
	return q
}

func (f *fixture) readQueue(t *testing.T) []message.Delivery {
	t.Helper()
	got, err := f.queue(t).DeadLetters(t.Context(), f.stream, deadletter.Page{Max: 1000})
	require.NoError(t, err)
	return got
}

// deadLettered publishes n entries, which group g and then other read; g
// dead-deadLetters them. It returns their ids and those of the dead deadLetters.
func (f *fixture) deadLettered(t *testing.T, n int) (ids, deadLetters []string) {
	t.Helper()
	s, other := f.join(t, "g", "c"), f.join(t, "other", "c")
	ids = f.publish(t, n)
	s.read(t, n)
	other.read(t, n)
	other.ack(t, ids...)
	require.Empty(t, s.deadLetter(t, deadLettersFor(ids...)...))
	return ids, idsOf(f.readQueue(t))
}

func (f *fixture) replay(t *testing.T, deadLetters, originals []string) []deadletter.Outcome {
	t.Helper()
	r := deadletter.Replay{Stream: f.stream, Group: "g"}
	for i := range deadLetters {
		r.Items = append(r.Items, deadletter.Item{DeadLetter: deadLetters[i], Original: originals[i]})
	}
	got, err := f.queue(t).Replay(t.Context(), r)
	require.NoError(t, err)
	return got
}

func queuePages(t *testing.T, f *fixture) {
	_, deadLetters := f.deadLettered(t, 5)
	state, err := f.queue(t).State(t.Context(), f.stream)
	require.NoError(t, err)
	require.Equal(t, deadletter.State{Depth: 5, Newest: deadLetters[4]}, state)
	page := func(p deadletter.Page) []string {
		got, err := f.queue(t).DeadLetters(t.Context(), f.stream, p)
		require.NoError(t, err)
		for _, d := range got {
			require.NotEmpty(t, d.Fields)
		}
		return idsOf(got)
	}
	require.Equal(t, deadLetters[:2], page(deadletter.Page{Max: 2}))
	require.Equal(t, deadLetters[2:4], page(deadletter.Page{After: deadLetters[1], Max: 2}))
	require.Equal(t, deadLetters[2:4], page(deadletter.Page{After: deadLetters[1], Until: deadLetters[3], Max: 9}))
	require.Empty(t, page(deadletter.Page{After: deadLetters[4], Max: 2}))
}

func queueEmpty(t *testing.T, f *fixture) {
	state, err := f.queue(t).State(t.Context(), f.stream)
	require.NoError(t, err)
	require.Zero(t, state)
	require.Empty(t, f.readQueue(t))
	n, err := f.queue(t).TrimDeadLetters(t.Context(), f.stream, time.Now())
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = f.queue(t).DeleteDeadLetters(t.Context(), f.stream, []string{"1-0"})
	require.NoError(t, err)
	require.Zero(t, n)
}

func replayReachesOneGroup(t *testing.T, f *fixture) {
	ids, deadLetters := f.deadLettered(t, 4)
	require.Equal(t, []deadletter.Outcome{deadletter.Claimed, deadletter.Claimed}, f.replay(t, []string{deadLetters[2], deadLetters[1]}, []string{ids[2], ids[1]}))
	require.Equal(t, []string{deadLetters[0], deadLetters[3]}, idsOf(f.readQueue(t)))

	s := f.join(t, "g", "new")
	got := s.claim(t, 10)
	require.Equal(t, ids[1:3], idsOf(got), "in the order of the originals")
	for _, d := range got {
		require.Zero(t, d.Attempts)
		require.NotEmpty(t, d.Fields)
	}
	other := f.join(t, "other", "c")
	got = other.claim(t, 10)
	require.Empty(t, got)
	require.Empty(t, other.read(t, 10))
	require.Empty(t, s.read(t, 10))
	require.Equal(t, ids[3], s.position(t), "its position stays")
}

func replayOfPending(t *testing.T, f *fixture) {
	ids, deadLetters := f.deadLettered(t, 1)
	f.replay(t, deadLetters, ids)
	holder := f.join(t, "g", "holder")
	holder.claim(t, 1)
	require.NoError(t, f.queue(t).AddDeadLetters(t.Context(), f.stream, [][]message.Field{{data("{}")}}))
	require.Equal(t, []deadletter.Outcome{deadletter.AlreadyPending}, f.replay(t, idsOf(f.readQueue(t)), ids))
	require.Empty(t, f.readQueue(t))
	require.Equal(t, ids, idsOf(holder.pending(t)))
}

func replayOfUndelivered(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	require.NoError(t, f.queue(t).AddDeadLetters(t.Context(), f.stream, [][]message.Field{{data("{}")}}))
	require.Equal(t, []deadletter.Outcome{deadletter.Undelivered}, f.replay(t, idsOf(f.readQueue(t)), ids))
	require.Empty(t, f.readQueue(t))
	got := s.claim(t, 10)
	require.Empty(t, got)
	require.Equal(t, ids, idsOf(s.read(t, 10)), "once")
}

func replayOfGone(t *testing.T, f *fixture) {
	ids, deadLetters := f.deadLettered(t, 1)
	require.Equal(t, []deadletter.Outcome{deadletter.Absent, deadletter.Gone}, f.replay(t, []string{deadLetters[0], "1-0"}, []string{"1-0", ids[0]}))
	require.Equal(t, deadLetters, idsOf(f.readQueue(t)))
	got := f.join(t, "g", "c").claim(t, 10)
	require.Empty(t, got)
}

func replayToNoGroup(t *testing.T, f *fixture) {
	ids, deadLetters := f.deadLettered(t, 1)
	_, err := f.queue(t).Replay(t.Context(), deadletter.Replay{Stream: f.stream, Group: "none", Items: []deadletter.Item{{DeadLetter: deadLetters[0], Original: ids[0]}}})
	require.ErrorIs(t, err, deadletter.ErrNoGroup)
	require.Equal(t, deadLetters, idsOf(f.readQueue(t)))
}

func copyOnce(t *testing.T, f *fixture) {
	require.NoError(t, f.queue(t).AddDeadLetters(t.Context(), f.stream, [][]message.Field{{data("{}")}}))
	deadLetter := idsOf(f.readQueue(t))[0]
	fields := append([]message.Field{data("{}"), {Name: "b", Value: []byte{0xff, 0}}}, message.ReplayFields("g", "1-0")...)
	for _, want := range []bool{true, false} {
		added, err := f.queue(t).Copy(t.Context(), f.stream, deadLetter, fields)
		require.NoError(t, err)
		require.Equal(t, want, added)
	}
	require.Empty(t, f.readQueue(t))
	got := f.join(t, "g", "c").read(t, 10)
	require.Len(t, got, 1)
	require.Equal(t, textsOf(fields), textsOf(got[0].Fields))
}

func queueEdits(t *testing.T, f *fixture) {
	var entries [][]message.Field
	for i := range 250 {
		entries = append(entries, []message.Field{data(fmt.Sprint(i)), {Name: "raw", Value: []byte{0xff}}})
	}
	require.NoError(t, f.queue(t).AddDeadLetters(t.Context(), f.stream, entries))
	got := f.readQueue(t)
	require.Len(t, got, 250)
	for i, d := range got {
		require.Equal(t, textsOf(entries[i]), textsOf(d.Fields))
	}
	n, err := f.queue(t).DeleteDeadLetters(t.Context(), f.stream, append(idsOf(got[100:200]), "1-0"))
	require.NoError(t, err)
	require.Equal(t, 100, n)
	require.Equal(t, append(idsOf(got[:100]), idsOf(got[200:])...), idsOf(f.readQueue(t)))
	state, err := f.queue(t).State(t.Context(), f.stream)
	require.NoError(t, err)
	require.Equal(t, 150, state.Depth)
}

// A queue of few entries is one node of Redis' tree, which an approximate trim leaves
// as it is.
func queueTrims(t *testing.T, f *fixture) {
	add := func() {
		require.NoError(t, f.queue(t).AddDeadLetters(t.Context(), f.stream, [][]message.Field{{data("{}")}}))
	}
	add()
	add()
	last := idsOf(f.readQueue(t))[1]
	for { // until the next entry is of a later millisecond
		add()
		got := idsOf(f.readQueue(t))
		a, err := message.ParseEntryID(last)
		require.NoError(t, err)
		b, err := message.ParseEntryID(got[len(got)-1])
		require.NoError(t, err)
		if b.Milliseconds > a.Milliseconds {
			n, err := f.queue(t).TrimDeadLetters(t.Context(), f.stream, time.UnixMilli(int64(b.Milliseconds)))
			require.NoError(t, err)
			require.Equal(t, len(got)-1, n)
			require.Equal(t, got[len(got)-1:], idsOf(f.readQueue(t)))
			return
		}
	}
}

func queueGroups(t *testing.T, f *fixture) {
	groups, err := f.queue(t).Groups(t.Context(), f.stream)
	require.NoError(t, err)
	require.Empty(t, groups)
	_, err = f.join(t, "b", "c").Heartbeat(t.Context())
	require.NoError(t, err)
	f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "a", Consumer: "c"})
	groups, err = f.queue(t).Groups(t.Context(), f.stream)
	require.NoError(t, err)
	require.Len(t, groups, 2)
	require.Equal(t, "a", groups[0].Name)
	require.Equal(t, "b", groups[1].Name)
	require.True(t, groups[1].Live, "an engine is there")
}

func queueLeader(t *testing.T, f *fixture) {
	lead := func(candidate string, lease time.Duration) bool {
		leads, err := f.queue(t).Lead(t.Context(), f.stream, candidate, lease)
		require.NoError(t, err)
		return leads
	}
	require.True(t, lead("a", time.Minute))
	require.True(t, lead("a", 100*time.Millisecond), "renewed")
	if f.Capabilities().Has(broker.Durable) { // which others share
		require.False(t, lead("b", time.Minute))
		require.Eventually(t, func() bool { return lead("b", time.Minute) }, 10*time.Second, time.Millisecond)
		require.False(t, lead("a", time.Minute))
	}
}

func queueAlert(t *testing.T, f *fixture) {
	due := func(crossed bool, repeat time.Duration) bool {
		due, err := f.queue(t).AlertDue(t.Context(), f.stream, crossed, repeat)
		require.NoError(t, err)
		return due
	}
	require.False(t, due(false, time.Minute))
	require.True(t, due(true, time.Minute))
	require.False(t, due(true, time.Minute))
	require.False(t, due(false, time.Minute))
	require.True(t, due(true, 20*time.Millisecond), "it has crossed again")
	require.Eventually(t, func() bool { return due(true, 20*time.Millisecond) }, 10*time.Second, time.Millisecond, "it lasts")

	require.False(t, due(false, time.Minute))
	require.NoError(t, f.queue(t).AlertTold(t.Context(), f.stream, time.Minute))
	require.True(t, due(true, time.Minute), "it was below its threshold meanwhile")
	require.NoError(t, f.queue(t).AlertTold(t.Context(), f.stream, time.Millisecond))
	require.Eventually(t, func() bool { return due(true, time.Minute) }, 10*time.Second, time.Millisecond)
}
