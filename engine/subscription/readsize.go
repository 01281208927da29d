package subscription

import (
	"errors"
	"net"
)

// firstRead bounds a read while the size of an entry is not known.
const firstRead = 10

// readSize is how many messages the next read may take: the number asked for,
// halved after each read that timed out and growing back slowly, and no more
// than what is left of the budget has room for. It belongs to the goroutine
// that reads.
type readSize struct {
	limit   int // messages_per_tick
	current int // at most limit
	mean    int // bytes of an entry: the largest mean of late, decaying
	budget  *Budget
}

func newReadSize(limit int, budget *Budget) readSize {
	return readSize{limit: limit, current: limit, budget: budget}
}

// next is the number to read; 0 where the budget has no room. A subscription
// that has nothing in flight may always read one, so that an entry larger than
// the budget passes.
func (s *readSize) next(idle bool) int {
	n := s.current
	if s.mean == 0 {
		n = min(n, firstRead)
	} else {
		n = int(min(int64(n), max(s.budget.left(), 0)/int64(s.mean)))
	}
	if n < 1 && idle {
		return 1
	}
	return n
}

// observe learns from a read.
func (s *readSize) observe(tasks []*Task, err error) {
	if len(tasks) > 0 {
		total := 0
		for _, t := range tasks {
			total += t.size
		}
		mean := max(total/len(tasks), 1)
		s.mean = max(mean, s.mean-(s.mean-mean)/8)
	}
	switch {
	case isTimeout(err):
		s.current = max(s.current/2, 1)
	case err == nil && len(tasks) > 0:
		s.current = min(s.current+max(s.current/8, 1), s.limit)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
