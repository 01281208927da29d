package subscription_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
)

func TestManyFailuresAreOneLineAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.MaxAttempts = 1
		lines := func(msg string) (found []string) {
			for _, line := range b.log.Lines() {
				if strings.Contains(line, msg) {
					found = append(found, line)
				}
			}
			return found
		}
		b.run(c, func(context.Context, *message.Envelope) error { return errBroken })
		for i := range 100 {
			b.publish(fmt.Sprintf("s%d/1", i))
		}
		b.pass(time.Second)
		require.Len(t, lines("dead-lettered"), 1, "the first is told at once")
		require.Contains(t, lines("dead-lettered")[0], "broken")
		b.pass(time.Minute)
		require.Len(t, lines("dead-lettered"), 2)
		require.Contains(t, lines("dead-lettered")[1], "times_in_last_minute=99")
		b.pass(2 * time.Minute)
		require.Len(t, lines("dead-lettered"), 2, "nothing happened")
		b.publish("t/1", "u/1", "v/1")
		b.pass(time.Second)
		require.Len(t, lines("dead-lettered"), 3, "after a quiet minute the first is told at once again")
		require.NoError(t, b.halt())
		require.Len(t, lines("dead-lettered"), 4)
		require.Contains(t, lines("dead-lettered")[3], "times_in_last_minute=2", "a stop tells what was gathered")
	})
}
