package brokertest

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var pendingTests = []test{
	{"pending/lists bodies, oldest first", broker.ConsumerGroups, pendingWhole},
	{"pending/is paged by id", broker.ConsumerGroups, pendingPaged},
	{"pending/says whether the list goes on", broker.ConsumerGroups, pendingSaysMore},
	{"pending/leaves out what is known", broker.ConsumerGroups, pendingUnknown},
	{"pending/a delivery count out of reach costs its entry only", broker.ConsumerGroups, byHand(pendingOutOfReach)},
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

func pendingSaysMore(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	for max, want := range map[int]bool{1: true, 2: true, 3: false, 4: false} {
		got, next, err := s.Pending(t.Context(), consumergroup.List{Max: max})
		require.NoError(t, err)
		require.Equal(t, ids[:min(max, 3)], idsOf(got))
		require.Equal(t, want, next != "", "max %d", max)
	}
	got, next, err := s.Pending(t.Context(), consumergroup.List{After: ids[0], Max: 1})
	require.NoError(t, err)
	require.Equal(t, ids[1:2], idsOf(got))
	require.Equal(t, ids[1], next)
}

func pendingUnknown(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 12)
	s.read(t, 12)
	known := func(id string) bool { return id != ids[3] && id != ids[7] && id != ids[11] }
	got, next, err := s.Pending(t.Context(), consumergroup.List{Max: 2, Known: known})
	require.NoError(t, err)
	require.Equal(t, []string{ids[3], ids[7]}, idsOf(got))
	got, next, err = s.Pending(t.Context(), consumergroup.List{After: next, Max: 2, Known: known})
	require.NoError(t, err)
	require.Equal(t, []string{ids[11]}, idsOf(got))
	require.Empty(t, next)
}

// outOfReach is the delivery count by which others mark an entry as poison.
const outOfReach = 1<<63 - 1

func pendingOutOfReach(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "c", ids[1], outOfReach))
	require.Equal(t, map[string]int{ids[0]: 0, ids[1]: math.MaxInt, ids[2]: 0}, attemptsOf(s.pending(t)))
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
		require.Equal(t, map[string]int{ids[0]: 0}, attemptsOf(s.pending(t)))
	}
}
