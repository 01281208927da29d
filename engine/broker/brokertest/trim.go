package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var trimTests = []test{
	{"trim/a stream is cut to its length, to the entry", broker.ConsumerGroups, trimsExactly},
	{"trim/what is pending stays, and all after it", broker.ConsumerGroups, trimKeepsPending},
	{"trim/what was released stays", broker.ConsumerGroups, trimKeepsReleased},
	{"trim/what one group has not got yet stays", broker.ConsumerGroups, trimKeepsUnread},
	{"trim/what is pending though the group will deliver it stays", broker.ConsumerGroups, byHand(trimKeepsClaimedAhead)},
	{"trim/nothing goes before a group exists that will read it", broker.ConsumerGroups, trimWaitsForGroups},
	{"trim/a group that is removed holds nothing back", broker.ConsumerGroups, byHand(trimAfterDestroy)},
	{"trim/a short stream stays as it is", broker.ConsumerGroups, trimsNothing},
	{"trim/readers go on undisturbed", broker.ConsumerGroups, trimUndisturbed},
}

// trim trims the stream as far as it goes.
func (s membership) trim(t *testing.T, maxLen int, groups ...string) (all consumergroup.Trimmed) {
	t.Helper()
	for {
		came, err := s.Trim(t.Context(), consumergroup.Retention{MaxLen: maxLen, Groups: groups})
		require.NoError(t, err)
		came.Removed += all.Removed
		if all = came; !came.More {
			return all
		}
	}
}

// kept are those of some entries that still exist.
func (s membership) kept(t *testing.T, ids []string) (kept []string) {
	t.Helper()
	got, err := s.Bodies(t.Context(), ids)
	require.NoError(t, err)
	for _, d := range got {
		if len(d.Fields) > 0 {
			kept = append(kept, d.ID)
		}
	}
	return kept
}

func trimsExactly(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 12)
	s.read(t, 12)
	s.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{Removed: 7}, s.trim(t, 5))
	require.Equal(t, ids[7:], s.kept(t, ids))
	require.Equal(t, consumergroup.Trimmed{}, s.trim(t, 5))
	require.Equal(t, consumergroup.Trimmed{Removed: 4}, s.trim(t, 1))
	require.Equal(t, ids[11:], s.kept(t, ids))
}

func trimKeepsPending(t *testing.T, f *fixture) {
	s, other := f.join(t, "g", "c"), f.join(t, "other", "c")
	ids := f.publish(t, 10)
	s.read(t, 10)
	s.ack(t, ids...)
	other.read(t, 10)
	other.ack(t, append(append([]string{}, ids[:3]...), ids[4:]...)...)
	require.Equal(t, consumergroup.Trimmed{Removed: 3, Beyond: 5, Group: "other"}, s.trim(t, 2))
	require.Equal(t, ids[3:], s.kept(t, ids))
	require.Equal(t, ids[3:4], idsOf(other.pending(t)))

	other.ack(t, ids[3])
	require.Equal(t, consumergroup.Trimmed{Removed: 5}, s.trim(t, 2))
	require.Equal(t, ids[8:], s.kept(t, ids))
}

func trimKeepsReleased(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 6)
	s.read(t, 6)
	require.Empty(t, s.release(t, entriesWith(1, ids[2])...))
	s.ack(t, ids[0], ids[1], ids[3], ids[4], ids[5])
	require.Equal(t, consumergroup.Trimmed{Removed: 2, Beyond: 3, Group: "g"}, s.trim(t, 1))
	require.Equal(t, ids[2:3], idsOf(f.join(t, "g", "another").claim(t, 10)))
	require.Equal(t, ids[2:], s.kept(t, ids))
}

func trimKeepsUnread(t *testing.T, f *fixture) {
	s, slow := f.join(t, "g", "c"), f.join(t, "slow", "c")
	ids := f.publish(t, 10)
	s.read(t, 10)
	s.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{Beyond: 9, Group: "slow"}, s.trim(t, 1), "it has got nothing")
	slow.read(t, 4)
	slow.ack(t, ids[:4]...)
	require.Equal(t, consumergroup.Trimmed{Removed: 4, Beyond: 5, Group: "slow"}, s.trim(t, 1))
	require.Equal(t, ids[4:], idsOf(slow.read(t, 10)))
}

func trimKeepsClaimedAhead(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 6)
	s.read(t, 2)
	s.ack(t, ids[:2]...)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "c", ids[4], 1))
	require.Equal(t, consumergroup.Trimmed{Removed: 2, Beyond: 3, Group: "g"}, s.trim(t, 1))
	require.Equal(t, ids[2:], s.kept(t, ids))
}

func trimWaitsForGroups(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 4)
	s.read(t, 4)
	s.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{Beyond: 3, Group: "later"}, s.trim(t, 1, "g", "later"))
	later := f.join(t, "later", "c")
	require.Equal(t, consumergroup.Trimmed{Beyond: 3, Group: "later"}, s.trim(t, 1, "g", "later"), "it begins at the beginning")
	require.Equal(t, ids, idsOf(later.read(t, 10)))
	later.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{Removed: 3}, s.trim(t, 1, "g", "later"))
}

func trimAfterDestroy(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	f.join(t, "retired", "c").read(t, 1)
	ids := f.publish(t, 4)
	s.read(t, 4)
	s.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{Beyond: 3, Group: "retired"}, s.trim(t, 1))
	require.NoError(t, f.operator.DestroyGroup(t.Context(), f.stream, "retired"))
	require.Equal(t, consumergroup.Trimmed{Removed: 3}, s.trim(t, 1))
}

func trimsNothing(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	require.Equal(t, consumergroup.Trimmed{}, s.trim(t, 3), "an empty stream")
	ids := f.publish(t, 3)
	require.Equal(t, consumergroup.Trimmed{}, s.trim(t, 3))
	s.read(t, 3)
	s.ack(t, ids...)
	require.Equal(t, consumergroup.Trimmed{}, s.trim(t, 3))
	require.Equal(t, ids, s.kept(t, ids))
}

func trimUndisturbed(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	for range 5 {
		ids := f.publish(t, 3)
		require.Equal(t, ids, idsOf(s.read(t, 10)))
		s.ack(t, ids...)
		s.trim(t, 1)
	}
}
