package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var joinTests = []test{
	{"join/a new group starts at the stream's beginning", broker.ConsumerGroups, startsAtBeginning},
	{"join/a new group from the end skips what was there", broker.ConsumerGroups, startsAtEnd},
	{"join/a group goes on where it was, whatever FromEnd says", broker.ConsumerGroups, goesOn},
	{"join/joining twice is harmless", broker.ConsumerGroups, joinsTwice},
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
	require.Equal(t, ids[:1], idsOf(second.pending(t)), "one consumer, whatever the seat")
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
