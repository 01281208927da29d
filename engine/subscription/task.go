package subscription

import (
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// task is one entry on its way from the reader to its settlement. It belongs to
// one goroutine at a time: reader, dispatcher, worker, dispatcher.
type task struct {
	delivery message.Delivery
	envelope message.Envelope
	// key is what the message's order is kept by; empty where none is.
	key string
	// holds says that later tasks of its key wait for this one.
	holds bool
	// calls counts the handler's calls, the running one not included.
	calls int
	// recorded is the number of calls that the broker has on record.
	recorded int
	// due is when a waiting task may be called again.
	due time.Time
	// excused counts the times that the target was down for this message and
	// then answered another one.
	excused int
	// accused says that the last call is counted in excused.
	accused bool

	// What the last call came to:
	started time.Time
	took    time.Duration
	err     error
	notRun  bool
}

// held is what the broker is told of the task when it is given up: running says
// whether a call is under way, which then counts.
func (t *task) held(running bool) Held {
	calls := t.calls
	if running {
		calls++
	}
	return Held{ID: t.delivery.ID, Attempts: calls}
}

// onRecord says that the broker has the coming call on record.
func (t *task) onRecord() bool { return t.recorded == t.calls+1 }

// foundDown says that the task's last call found the target down.
func (t *task) foundDown() bool {
	v, _ := handler.OutcomeOf(t.err)
	return v == handler.Down
}

// foundDownAt is when that call began; zero where it did not.
func (t *task) foundDownAt() time.Time {
	if !t.foundDown() {
		return time.Time{}
	}
	return t.started
}
