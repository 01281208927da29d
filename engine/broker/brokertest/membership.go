package brokertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// membership is a Membership whose lower-case methods fail the test on an error.
type membership struct{ consumergroup.Membership }

// read takes what is there, without waiting.
func (s membership) read(t *testing.T, n int) []message.Delivery {
	t.Helper()
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: n})
	require.NoError(t, err, "read")
	require.True(t, acked, "nothing to acknowledge is acknowledged")
	return got
}

// pending lists all, page by page.
func (s membership) pending(t *testing.T) []message.Delivery {
	t.Helper()
	var all []message.Delivery
	for after := ""; ; {
		got, next, err := s.Pending(t.Context(), consumergroup.List{After: after, Max: 100})
		require.NoError(t, err, "pending")
		all = append(all, got...)
		if after = next; next == "" {
			return all
		}
	}
}

func (s membership) pendingAfter(t *testing.T, after string, n int) []message.Delivery {
	t.Helper()
	got, _, err := s.Pending(t.Context(), consumergroup.List{After: after, Max: n})
	require.NoError(t, err, "pending")
	return got
}

func (s membership) claim(t *testing.T, n int) []message.Delivery {
	t.Helper()
	got, _, err := s.ClaimReleased(t.Context(), n)
	require.NoError(t, err, "claim released")
	return got
}

func (s membership) ack(t *testing.T, ids ...string) {
	t.Helper()
	require.NoError(t, s.Ack(t.Context(), ids), "ack")
}

func (s membership) attempt(t *testing.T, entries ...consumergroup.Entry) (lost []string) {
	t.Helper()
	lost, err := s.Attempt(t.Context(), entries)
	require.NoError(t, err, "attempt")
	return lost
}

func (s membership) release(t *testing.T, entries ...consumergroup.Entry) (lost []string) {
	t.Helper()
	lost, err := s.Release(t.Context(), entries)
	require.NoError(t, err, "release")
	return lost
}

func (s membership) deadLetter(t *testing.T, entries ...deadletter.Entry) (lost []string) {
	t.Helper()
	lost, err := s.DeadLetter(t.Context(), entries)
	require.NoError(t, err, "dead-letter")
	return lost
}

func (s membership) renew(t *testing.T, entries ...consumergroup.Entry) (lost []string) {
	t.Helper()
	lost, err := s.Renew(t.Context(), entries)
	require.NoError(t, err, "renew")
	return lost
}

// consumers are the others that have something pending, by name.
func (s membership) consumers(t *testing.T) map[string]consumergroup.Consumer {
	t.Helper()
	others, err := s.Heartbeat(t.Context())
	require.NoError(t, err, "heartbeat")
	byName := map[string]consumergroup.Consumer{}
	for _, other := range others {
		byName[other.Name] = other
	}
	return byName
}

// idle waits until another consumer has been idle for so long, and returns it.
func (s membership) idle(t *testing.T, name string, idle time.Duration) (c consumergroup.Consumer) {
	t.Helper()
	require.Eventually(t, func() bool {
		c = s.consumers(t)[name]
		return c.Idle >= idle
	}, 10*time.Second, time.Millisecond)
	return c
}

func (s membership) takeOver(t *testing.T, from consumergroup.Consumer, idle time.Duration) []message.Delivery {
	t.Helper()
	got, err := s.TakeOver(t.Context(), from, idle)
	require.NoError(t, err, "take over")
	return got
}

func (s membership) position(t *testing.T) string {
	t.Helper()
	position, _, err := s.Position(t.Context())
	require.NoError(t, err, "position")
	return position.String()
}

func idsOf(deliveries []message.Delivery) []string {
	var ids []string
	for _, d := range deliveries {
		ids = append(ids, d.ID)
	}
	return ids
}

// attemptsOf maps each delivery's id to its attempts.
func attemptsOf(deliveries []message.Delivery) map[string]int {
	attempts := map[string]int{}
	for _, d := range deliveries {
		attempts[d.ID] = d.Attempts
	}
	return attempts
}

// entriesWith are all ids, each with this number of attempts.
func entriesWith(attempts int, ids ...string) []consumergroup.Entry {
	var entries []consumergroup.Entry
	for _, id := range ids {
		entries = append(entries, consumergroup.Entry{ID: id, Attempts: attempts})
	}
	return entries
}

// deadLettersFor are dead letters with the ids as data.
func deadLettersFor(ids ...string) []deadletter.Entry {
	var entries []deadletter.Entry
	for _, id := range ids {
		entries = append(entries, deadletter.Entry{ID: id, Data: []byte(id)})
	}
	return entries
}
