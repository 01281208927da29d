package subscription

import (
	"context"
	"math/rand/v2"
	"time"
)

// The waits after errors of the broker: they double from the first to the
// last, with up to a quarter more at random so that replicas do not return in
// step.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

type backoff struct {
	first, last, wait time.Duration
}

func newBackoff() *backoff { return &backoff{first: firstBackoff, last: lastBackoff} }

func (b *backoff) next() time.Duration {
	b.wait = min(max(b.wait*2, b.first), b.last)
	return b.wait + rand.N(b.wait/4)
}

func (b *backoff) reset() { b.wait = 0 }

// sleep waits for d and reports whether it did; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
