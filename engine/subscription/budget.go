package subscription

import "sync/atomic"

// DefaultMaxInflightBytes is the budget of a process by default.
const DefaultMaxInflightBytes = 256 << 20

// Budget bounds the bytes of the bodies that all subscriptions of a process
// together have read and not settled. Its methods may be called side by side.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes; 0 is [DefaultMaxInflightBytes].
func NewBudget(limit int64) *Budget {
	if limit == 0 {
		limit = DefaultMaxInflightBytes
	}
	return &Budget{limit: limit}
}

// share is what one subscription uses of the budget.
type share struct {
	of   *Budget
	used atomic.Int64
}

func (s *share) add(bytes int) {
	s.used.Add(int64(bytes))
	s.of.used.Add(int64(bytes))
}

// left is how many bytes the budget has room for.
func (s *share) left() int64 { return s.of.limit - s.of.used.Load() }

// isShort reports whether what waits should be kept out of memory.
func (s *share) isShort() bool { return s.of.used.Load() > s.of.limit/2 }

// giveBack ends the share: nothing of the subscription is in flight any more.
func (s *share) giveBack() { s.of.used.Add(-s.used.Swap(0)) }
