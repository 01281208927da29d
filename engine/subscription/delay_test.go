package subscription_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
)

func fail(context.Context, *message.Envelope) error { return errBroken }

func (b *bench) times() (at []time.Duration) {
	for _, c := range b.called() {
		at = append(at, c.at)
	}
	return at
}

func TestEachKindWaitsLongerForEachLaterAttemptUpToTheCap(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry = retry.Policy{MaxAttempts: 6, Delay: 2 * time.Second, Multiplier: 3, MaxDelay: 20 * time.Second}
		b.publish("a/1")
		b.run(c, fail)
		b.pass(5 * time.Minute)
		at := b.times()
		require.Len(t, at, 6)
		for i, want := range []time.Duration{2 * time.Second, 6 * time.Second, 18 * time.Second, 20 * time.Second, 20 * time.Second} {
			require.InDelta(t, want, at[i+1]-at[i], float64(200*time.Millisecond), "before attempt %d", i+2)
		}
	})
}

// Messages that fail together shall not all come back together.
func TestEachKindSpreadsLaterAttemptsByTheJitter(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry = retry.Policy{MaxAttempts: 2, Delay: 10 * time.Second, Jitter: 0.5}
		c.MessagesPerTick = 100
		for i := range 60 {
			b.publish(string(rune('A'+i)) + "/1")
		}
		b.run(c, fail)
		b.pass(5 * time.Minute)
		calls := b.called()
		require.Len(t, calls, 120)
		seconds := map[int]bool{}
		for _, c := range calls {
			if c.attempt == 2 {
				require.GreaterOrEqual(t, c.at, 10*time.Second)
				require.LessOrEqual(t, c.at, 15500*time.Millisecond)
				seconds[int(c.at/time.Second)] = true
			}
		}
		require.GreaterOrEqual(t, len(seconds), 4, "over the whole of the five seconds")
	})
}
