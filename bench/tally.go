package main

import (
	"fmt"
	"sync/atomic"
)

// tally is the handler's work, the same for every contestant, and the proof
// that it was done: each of n messages exactly once. It may be called side by
// side.
type tally struct {
	seen  []atomic.Uint32
	calls atomic.Int64
	bytes atomic.Int64
	stray atomic.Int64
	done  chan struct{}
}

func newTally(n int) *tally {
	return &tally{seen: make([]atomic.Uint32, n), done: make(chan struct{})}
}

// handle touches the id and the payload.
func (t *tally) handle(id string, payload []byte) {
	t.bytes.Add(int64(len(payload)))
	n, err := number(id)
	if err != nil || n < 0 || n >= len(t.seen) {
		t.stray.Add(1)
		return
	}
	t.seen[n].Add(1)
	if t.calls.Add(1) == int64(len(t.seen)) {
		close(t.done)
	}
}

// verify says what is wrong with the count.
func (t *tally) verify() error {
	var missing, repeated int
	for i := range t.seen {
		switch n := t.seen[i].Load(); {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
	}
	if stray := t.stray.Load(); missing+repeated+int(stray) > 0 {
		return fmt.Errorf("of %d messages %d were not handled, %d more than once; %d calls had no known id",
			len(t.seen), missing, repeated, stray)
	}
	if t.bytes.Load() == 0 {
		return fmt.Errorf("no payload reached the handler")
	}
	return nil
}
