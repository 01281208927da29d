package memorybroker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// remaining counts what a new group finds in a stream.
func remaining(t *testing.T, b *memorybroker.Broker, stream string) int {
	t.Helper()
	s, err := b.Join(t.Context(), consumergroup.Member{Stream: stream, Group: "counts " + t.Name(), Consumer: "c"})
	require.NoError(t, err)
	return len(read(t, s, consumergroup.Read{Max: 1 << 20}))
}

func TestRetentionKeepsAboutMaxLen(t *testing.T) {
	b := memorybroker.New(memorybroker.WithMaxLen(80))
	s := join(t, b, "c")
	for range 100 {
		ids := publish(t, b, 10)
		require.Equal(t, ids, read(t, s, consumergroup.Read{Max: 10}), "readers go on undisturbed")
		require.NoError(t, s.Ack(t.Context(), ids))
	}
	left := remaining(t, b, "s")
	require.GreaterOrEqual(t, left, 80)
	require.LessOrEqual(t, left, 80+80/8)
}

func TestRetentionKeepsWhatAGroupHasNotGot(t *testing.T) {
	b := memorybroker.New(memorybroker.WithMaxLen(10))
	s := join(t, b, "c")
	ids := publish(t, b, 100)
	require.Equal(t, ids, read(t, s, consumergroup.Read{Max: 1000}))
}

func TestRetentionKeepsWhatIsPending(t *testing.T) {
	b := memorybroker.New(memorybroker.WithMaxLen(10))
	s := join(t, b, "c")
	ids := publish(t, b, 100)
	read(t, s, consumergroup.Read{Max: 100})
	require.NoError(t, s.Ack(t.Context(), append(ids[:40:40], ids[41:]...)))
	publish(t, b, 1)
	require.Equal(t, 101-40, remaining(t, b, "s"), "the 41st is pending")
}

func TestRetentionBoundsDeadLetters(t *testing.T) {
	b := memorybroker.New(memorybroker.WithMaxLen(10))
	s := join(t, b, "c")
	for _, id := range publish(t, b, 50) {
		read(t, s, consumergroup.Read{Max: 1})
		lost, err := s.DeadLetter(t.Context(), []deadletter.Entry{{ID: id, Data: []byte("{}")}})
		require.NoError(t, err)
		require.Empty(t, lost)
	}
	require.Equal(t, 10, remaining(t, b, deadletter.QueueOf("s")))
}
