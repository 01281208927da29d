package subscription

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

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

// Used is how many bytes are in flight.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) add(bytes int) { b.used.Add(int64(bytes)) }
func (b *Budget) left() int64   { return b.limit - b.used.Load() }
func (b *Budget) isShort() bool { return b.used.Load() > b.limit/2 }

// load counts the body's bytes against the budget.
func (t *Task) load(b *Budget) {
	for _, f := range t.Delivery.Fields {
		t.size += len(f.Name) + len(f.Value)
	}
	b.add(t.size)
}

// unload gives the body's bytes back to the budget.
func (t *Task) unload(b *Budget) {
	b.add(-t.size)
	t.size = 0
}

// longWait is the shortest wait for which a message gets a body of its own, or
// none where the budget is short: until then it shares its memory with all that
// the same read returned.
const longWait = time.Second

// cloneFields copies the values into memory of their own.
func cloneFields(fields []message.Field) []message.Field {
	cloned := slices.Clone(fields)
	for i := range cloned {
		cloned[i].Value = bytes.Clone(cloned[i].Value)
	}
	return cloned
}
