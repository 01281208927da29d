package interop

import (
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPythonAndOurEngineShareAGroup(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.startPython(0.01)
	s.startOurs()
	placed := names("o", 300)
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
	s := openShop(t, "SHOP_CLAIM=2")
	s.startPython(1)
	placed := names("o", 10)
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
	s := openShop(t, "SHOP_CLAIM=2")
	python := s.startPython(1)
	placed := names("o", 10)
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
	s := openShop(t, "SHOP_KEPT=50")
	s.startPython(0.5)
	held, more := names("held", 10), names("more", 300)
	s.publish(held...)
	s.eventually("Python works on its batch", func() bool { return len(s.byPython()) > 0 && s.pending() > 0 })
	s.startOurs()
	s.publish(more...)
	placed := append(held, more...)
	s.eventually("all orders are handled", func() bool {
		kept := s.kept()
		handled := append(s.byPython(), s.byOurs()...)
		for _, order := range placed {
			require.True(t, slices.Contains(kept, order) || slices.Contains(handled, order), "%s was trimmed and not handled", order)
		}
		return len(handled) >= len(placed)
	})
	s.allHandled(placed)
	s.eventually("the stream is short", func() bool { return len(s.kept()) < 150 })
}

func TestProteansToolWorksOnOurDeadLetters(t *testing.T) {
	t.Parallel()
	s := openShop(t)
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
	list := s.run(s.protean("dlq", "list", "--domain", "domain.py"))
	assert.Contains(t, list, letters[0].ID)
	assert.Contains(t, list, "422 Unprocessable Entity")
	inspected := s.run(s.protean("dlq", "inspect", letters[0].ID, "--domain", "domain.py"))
	assert.Contains(t, inspected, "refused")
	assert.Contains(t, inspected, group)

	s.mu.Lock()
	refuses = false
	s.mu.Unlock()
	s.run(s.protean("dlq", "replay", letters[0].ID, "--subscription", stream, "--domain", "domain.py"))
	s.allHandled([]string{"fine", "refused"})
	n, err := s.redis.XLen(t.Context(), stream+":dlq").Result()
	require.NoError(t, err)
	assert.Zero(t, n, "the replayed dead letter is still in the queue")
}
