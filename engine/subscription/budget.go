package subscription

import (
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxInflightBytes is the budget of a process by default.
const DefaultMaxInflightBytes = 256 << 20

// Budget bounds the bytes of the bodies that all subscriptions of a process
// together have read and not settled. Its methods may be called side by side.
type Budget struct {
	limit int64
	used  atomic.Int64
	extra atomic.Int64

	mu        sync.Mutex
	shares    map[*share]bool
	signalled time.Time // when they last got the signal that there is no room
}

// NewBudget returns a budget of so many bytes; 0 is [DefaultMaxInflightBytes].
func NewBudget(limit int64) *Budget {
	if limit == 0 {
		limit = DefaultMaxInflightBytes
	}
	return &Budget{limit: limit, shares: make(map[*share]bool)}
}

// share is what one subscription uses of the budget.
type share struct {
	of    *Budget
	used  atomic.Int64
	extra int64 // of the dispatcher
	// short gets a value when a subscription of the process finds no room: each
	// may then keep out of memory what waits.
	short chan struct{}
}

func newShare(b *Budget) *share {
	s := &share{of: b, short: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shares[s] = true
	return s
}

func (s *share) add(bytes int) {
	s.used.Add(int64(bytes))
	s.of.used.Add(int64(bytes))
}

// left is how many bytes the budget has room for.
func (s *share) left() int64 { return s.of.limit - s.of.used.Load() }

// maxExtra is how many messages the subscriptions of a process together may have in
// flight beyond their bounds.
const maxExtra = 10_000

// setExtra says how many messages the subscription has beyond its bound.
func (s *share) setExtra(n int64) {
	if n != s.extra {
		s.of.extra.Add(n - s.extra)
		s.extra = n
	}
}

func (s *share) mayHaveExtra() bool { return s.of.extra.Load() < maxExtra }

// isShort reports whether what waits should be kept out of memory.
func (s *share) isShort() bool { return s.of.used.Load() > s.of.limit/2 }

// signalShort signals all subscriptions of the process that there is no room, at
// most once in budgetPause.
func (s *share) signalShort() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	now := time.Now()
	if now.Sub(s.of.signalled) < budgetPause {
		return
	}
	s.of.signalled = now
	for other := range s.of.shares {
		select {
		case other.short <- struct{}{}:
		default:
		}
	}
}

// giveBack ends the share: nothing of the subscription is in flight any more.
func (s *share) giveBack() {
	s.of.used.Add(-s.used.Swap(0))
	s.setExtra(0)
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.shares, s)
}
