package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
)

var pendingTests = []test{
	{"pending/lists bodies, oldest first", broker.ConsumerGroups, pendingWhole},
	{"pending/is paged by id", broker.ConsumerGroups, pendingPaged},
	{"pending/lists one's own only", broker.ConsumerGroups, pendingOwn},
	{"pending/costs nothing", broker.ConsumerGroups, pendingFree},
}

func pendingWhole(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	f.publish(t, 12)
	require.Equal(t, s.read(t, 12), s.pending(t))
}

func pendingPaged(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 12)
	s.read(t, 12)

	var pages []message.Delivery
	after := ""
	for range 3 {
		page := s.pendingAfter(t, after, 5)
		require.NotEmpty(t, page)
		pages = append(pages, page...)
		after = page[len(page)-1].ID
	}
	require.Equal(t, ids, idsOf(pages))
	require.Empty(t, s.pendingAfter(t, after, 5))

	s.ack(t, ids[4])
	require.Equal(t, ids[5:10], idsOf(s.pendingAfter(t, ids[4], 5)), "an id that is settled still marks its place")
}

func pendingOwn(t *testing.T, f *fixture) {
	a, b := f.join(t, "g", "a"), f.join(t, "g", "b")
	ids := f.publish(t, 4)
	a.read(t, 1)
	b.read(t, 2)
	a.read(t, 1)
	require.Equal(t, []string{ids[0], ids[3]}, idsOf(a.pending(t)))
	require.Equal(t, ids[1:3], idsOf(b.pending(t)))
}

func pendingFree(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	for range 3 {
		require.Equal(t, map[string]int{ids[0]: 0}, callsOf(s.pending(t)))
	}
}
