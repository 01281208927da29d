package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var joinTests = []test{
	{"join/a new group starts at the stream's beginning", broker.ConsumerGroups, startsAtBeginning},
	{"join/a new group from the end skips what was there", broker.ConsumerGroups, startsAtEnd},
	{"join/a group goes on where it was, whatever FromEnd says", broker.ConsumerGroups, goesOn},
	{"join/joining twice is harmless", broker.ConsumerGroups, joinsTwice},
	{"join/the name of released entries is no consumer's", broker.ConsumerGroups, releasedIsNoConsumer},
	{"join/a new group resumes where it was known to be", broker.ConsumerGroups, resumes},
	{"join/a stream that is behind the resumed id is another one", broker.ConsumerGroups, resumesAnotherStream},
	{"join/resuming leaves a group that exists where it is", broker.ConsumerGroups, resumeOfOne},
	{"join/each group gets every entry", broker.ConsumerGroups, groupsAreApart},
}

func startsAtBeginning(t *testing.T, f *fixture) {
	ids := f.publish(t, 3)
	require.Equal(t, ids, idsOf(f.join(t, "g", "c").read(t, 10)))
}

func startsAtEnd(t *testing.T, f *fixture) {
	f.publish(t, 3)
	s := f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c", FromEnd: true})
	require.Empty(t, s.read(t, 10))

	later := f.publish(t, 2)
	require.Equal(t, later, idsOf(s.read(t, 10)))
}

func goesOn(t *testing.T, f *fixture) {
	ids := f.publish(t, 3)
	require.Equal(t, ids[:1], idsOf(f.join(t, "g", "c").read(t, 1)))

	again := f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c", FromEnd: true})
	require.Equal(t, ids[1:], idsOf(again.read(t, 10)))
}

func joinsTwice(t *testing.T, f *fixture) {
	first := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	require.Equal(t, ids[:1], idsOf(first.read(t, 1)))

	second := f.join(t, "g", "c")
	require.Equal(t, ids[:1], idsOf(second.pending(t)), "one consumer, whatever the membership")
	require.Equal(t, ids[1:], idsOf(second.read(t, 10)))
	require.Equal(t, ids, idsOf(first.pending(t)))
}

func groupsAreApart(t *testing.T, f *fixture) {
	one, two := f.join(t, "one", "c"), f.join(t, "two", "c")
	ids := f.publish(t, 3)

	require.Equal(t, ids, idsOf(one.read(t, 10)))
	one.ack(t, ids...)
	require.Equal(t, ids, idsOf(two.read(t, 10)), "another group's acknowledgement ends nothing here")
	require.Equal(t, ids, idsOf(two.pending(t)))
}

func releasedIsNoConsumer(t *testing.T, f *fixture) {
	_, err := f.Join(t.Context(), consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "released"})
	require.ErrorContains(t, err, `"released"`)
}

// resume is a member of a group that was known to have delivered up to an id.
func (f *fixture) resume(t *testing.T, id string) membership {
	t.Helper()
	position, err := message.ParseEntryID(id)
	require.NoError(t, err)
	return f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c", FromEnd: true, Resume: position})
}

func resumes(t *testing.T, f *fixture) {
	ids := f.publish(t, 4)
	s := f.resume(t, ids[1])
	require.Equal(t, ids[1], s.position(t))
	require.Equal(t, ids[2:], idsOf(s.read(t, 10)))
	require.Equal(t, ids[3], s.position(t))
}

func resumesAnotherStream(t *testing.T, f *fixture) {
	ids := f.publish(t, 2)
	s := f.resume(t, "18446744073709551615-0")
	require.Equal(t, "0-0", s.position(t))
	require.Equal(t, ids, idsOf(s.read(t, 10)), "whatever FromEnd says")
}

func resumeOfOne(t *testing.T, f *fixture) {
	ids := f.publish(t, 3)
	require.Len(t, f.join(t, "g", "c").read(t, 1), 1)
	require.Equal(t, ids[1:], idsOf(f.resume(t, ids[2]).read(t, 10)))
}
