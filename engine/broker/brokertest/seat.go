package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// seat is a Seat whose lower-case methods fail the test on an error.
type seat struct{ consumergroup.Membership }

// read takes what is there, without waiting.
func (s seat) read(t *testing.T, n int) []message.Delivery {
	t.Helper()
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: n})
	require.NoError(t, err, "read")
	require.True(t, acked, "nothing to acknowledge is acknowledged")
	return got
}

func (s seat) pending(t *testing.T) []message.Delivery {
	t.Helper()
	return s.pendingAfter(t, "", 100)
}

func (s seat) pendingAfter(t *testing.T, after string, n int) []message.Delivery {
	t.Helper()
	got, err := s.Pending(t.Context(), after, n)
	require.NoError(t, err, "pending")
	return got
}

func (s seat) adopt(t *testing.T, n int) []message.Delivery {
	t.Helper()
	got, err := s.ClaimReleased(t.Context(), n)
	require.NoError(t, err, "adopt")
	return got
}

func (s seat) ack(t *testing.T, ids ...string) {
	t.Helper()
	require.NoError(t, s.Ack(t.Context(), ids), "ack")
}

func (s seat) attempt(t *testing.T, held ...consumergroup.Entry) (lost []string) {
	t.Helper()
	lost, err := s.Attempt(t.Context(), held)
	require.NoError(t, err, "attempt")
	return lost
}

func (s seat) release(t *testing.T, held ...consumergroup.Entry) (lost []string) {
	t.Helper()
	lost, err := s.Release(t.Context(), held)
	require.NoError(t, err, "release")
	return lost
}

func (s seat) park(t *testing.T, letters ...deadletter.Entry) (lost []string) {
	t.Helper()
	lost, err := s.DeadLetter(t.Context(), letters)
	require.NoError(t, err, "park")
	return lost
}

func idsOf(deliveries []message.Delivery) []string {
	var ids []string
	for _, d := range deliveries {
		ids = append(ids, d.ID)
	}
	return ids
}

// callsOf maps each delivery's id to its calls.
func callsOf(deliveries []message.Delivery) map[string]int {
	calls := map[string]int{}
	for _, d := range deliveries {
		calls[d.ID] = d.Attempts
	}
	return calls
}

// heldWith are all ids, each with this number of calls.
func heldWith(calls int, ids ...string) []consumergroup.Entry {
	var held []consumergroup.Entry
	for _, id := range ids {
		held = append(held, consumergroup.Entry{ID: id, Attempts: calls})
	}
	return held
}

// lettersFor are letters with the ids as data.
func lettersFor(ids ...string) []deadletter.Entry {
	var letters []deadletter.Entry
	for _, id := range ids {
		letters = append(letters, deadletter.Entry{ID: id, Data: []byte(id)})
	}
	return letters
}
