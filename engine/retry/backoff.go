package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the wait between tries of what should work and does not: it
// doubles from First to Last, with up to a quarter more at random so that
// replicas do not return in step. The zero value is ready to use.
type Backoff struct {
	First time.Duration // default 100 ms
	Last  time.Duration // default 5 s

	wait time.Duration
}

// Next is the wait before the next try.
func (b *Backoff) Next() time.Duration {
	first, last := b.First, b.Last
	if first == 0 {
		first = 100 * time.Millisecond
	}
	if last == 0 {
		last = 5 * time.Second
	}
	b.wait = min(max(b.wait*2, first), last)
	return b.wait + rand.N(b.wait/4)
}

// Reset begins anew with First.
func (b *Backoff) Reset() { b.wait = 0 }

// Sleep waits for d and reports whether it did; false when ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
