package interop

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPythonAndOurEngineShareAGroup(t *testing.T) {
	t.Parallel()
	s := open(t, "60")
	s.startPython(0.01)
	s.startOurs()
	placed := orders("o", 300)
	for part := range slices.Chunk(placed, 100) {
		s.publish(part...)
	}
	s.allHandled(placed)
	assert.NotEmpty(t, s.byPython())
	assert.NotEmpty(t, s.byOurs())
}

// A batch takes Python five times claim_idle_seconds, a call half of it.
func TestNothingIsTakenFromALivingPythonConsumer(t *testing.T) {
	t.Parallel()
	s := open(t, "2")
	s.startPython(1)
	placed := orders("o", 10)
	s.publish(placed...)
	s.eventually("Python works on its batch", func() bool { return len(s.byPython()) > 0 && s.pending() > 0 })
	s.startOurs()
	s.allHandled(placed)
	assert.Equal(t, placed, s.byPython())
	assert.Empty(t, s.byOurs())
}

// It is killed in the middle of a call, with what it handled acknowledged.
func TestWhatAKilledPythonConsumerLeftIsTakenOver(t *testing.T) {
	t.Parallel()
	s := open(t, "2")
	python := s.startPython(1)
	placed := orders("o", 10)
	s.publish(placed...)
	s.eventually("Python works on its batch", func() bool { return len(s.byPython()) > 0 && s.pending() > 0 })
	s.startOurs()
	s.eventually("Python is in the middle of its batch", func() bool {
		done := len(s.byPython())
		return done >= 2 && s.pending() == int64(len(placed)-done)
	})
	python.end(syscall.SIGKILL)
	left := len(placed) - len(s.byPython())
	s.allHandled(placed)
	assert.Len(t, s.byOurs(), left)
}

func TestNothingIsTrimmedThatPythonHolds(t *testing.T) {
	t.Parallel()
	s := open(t, "60")
	s.env = append(s.env, "SHOP_KEPT=50")
	s.startPython(0.5)
	held, more := orders("held", 10), orders("more", 300)
	s.publish(held...)
	s.eventually("Python works on its batch", func() bool { return len(s.byPython()) > 0 && s.pending() > 0 })
	s.startOurs()
	s.publish(more...)
	s.eventually("the stream is trimmed", func() bool { return s.length() < int64(len(held)+len(more)) })
	// It is cut at its beginning, where the batch is.
	assert.Subset(t, s.byPython(), held)
	s.allHandled(append(held, more...))
	s.eventually("the stream is short", func() bool { return s.length() < 150 })
}

func TestProteansToolWorksOnOurDeadLetters(t *testing.T) {
	t.Parallel()
	s := open(t, "60")
	refuses := true
	s.answer = func(order string) int {
		if refuses && order == "refused" {
			return http.StatusUnprocessableEntity
		}
		return http.StatusNoContent
	}
	s.startOurs()
	s.publish("fine", "refused")
	s.eventually("the refused order is dead-lettered", func() bool {
		n, err := s.redis.XLen(t.Context(), stream+":dlq").Result()
		return err == nil && n == 1 && s.pending() == 0
	})

	letters, err := s.redis.XRange(t.Context(), stream+":dlq", "-", "+").Result()
	require.NoError(t, err)
	list := tool(t, s, "dlq", "list", "--domain", "domain.py")
	assert.Contains(t, list, letters[0].ID)
	assert.Contains(t, list, "422 Unprocessable Entity")
	inspected := tool(t, s, "dlq", "inspect", letters[0].ID, "--domain", "domain.py")
	assert.Contains(t, inspected, "refused")
	assert.Contains(t, inspected, group)

	s.mu.Lock()
	refuses = false
	s.mu.Unlock()
	tool(t, s, "dlq", "replay", letters[0].ID, "--subscription", stream, "--domain", "domain.py")
	s.allHandled([]string{"fine", "refused"})
	n, err := s.redis.XLen(t.Context(), stream+":dlq").Result()
	require.NoError(t, err)
	assert.Zero(t, n, "the replayed dead letter is still in the queue")
}

// tool runs a command of Protean's and returns what it printed, on one line.
func tool(t *testing.T, s *shop, args ...string) string {
	t.Helper()
	out, err := s.protean(args...).CombinedOutput()
	require.NoError(t, err, "protean %s:\n%s", strings.Join(args, " "), out)
	return strings.Join(strings.Fields(string(out)), " ")
}
