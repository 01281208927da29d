package retry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/retry"
)

func TestMaxAttemptsIsTheNumberOfAttemptsInAll(t *testing.T) {
	t.Parallel()
	for maxAttempts, want := range map[int]int{0: 1, 1: 1, 2: 2, 3: 3} {
		attempts := 1
		for again := true; again; {
			if _, again = (retry.Policy{MaxAttempts: maxAttempts}).Next(attempts); again {
				attempts++
			}
		}
		require.Equal(t, want, attempts, "MaxAttempts %d", maxAttempts)
	}
}

func TestDelayGrowsToItsCap(t *testing.T) {
	t.Parallel()
	p := retry.Policy{MaxAttempts: 100, Delay: time.Second, Multiplier: 2, MaxDelay: 5 * time.Second}
	for attempts, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 90: 5 * time.Second} {
		delay, again := p.Next(attempts)
		require.True(t, again)
		require.Equal(t, want, delay, "after %d attempts", attempts)
	}
}

func TestDelayIsTheSameWithoutMultiplier(t *testing.T) {
	t.Parallel()
	p := retry.Policy{MaxAttempts: 10, Delay: time.Second}.WithDefaults()
	for attempts := 1; attempts < 10; attempts++ {
		delay, _ := p.Next(attempts)
		require.Equal(t, time.Second, delay)
	}
}

func TestUncappedDelayNeverOverflows(t *testing.T) {
	t.Parallel()
	delay, again := retry.Policy{MaxAttempts: 5000, Delay: time.Hour, Multiplier: 10}.Next(4000)
	require.True(t, again)
	require.Positive(t, delay)
}

func TestJitterAddsAtMostItsShare(t *testing.T) {
	t.Parallel()
	p := retry.Policy{MaxAttempts: 3, Delay: time.Second, Jitter: 0.5}
	seen := map[time.Duration]bool{}
	for range 100 {
		delay, _ := p.Next(1)
		require.GreaterOrEqual(t, delay, time.Second)
		require.LessOrEqual(t, delay, 1500*time.Millisecond)
		seen[delay] = true
	}
	require.Greater(t, len(seen), 1)
}
