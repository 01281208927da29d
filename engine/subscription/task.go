package subscription

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Task is one message in flight. The source makes it; until it is done, given
// up, lost or closed it belongs to the dispatcher, apart from the fields that
// say otherwise.
type Task struct {
	// Delivery is what the source got.
	Delivery message.Delivery
	// Attempts counts the calls of the handler that were made, by this process
	// and those before it.
	Attempts int
	// Recorded is the number of attempts that the source has on record. Where it
	// is Attempts+1 or more the coming call needs no Attempt. It is the source's.
	Recorded int
	// Apart says that the message may be what ended the process that had it before:
	// no other is taken before its call has returned. The source sets it.
	Apart bool
	// TakenOver says that the source waits for the first call; see [Follower]. The
	// source sets it; who has told it takes it away.
	TakenOver bool
	// Foreign says that it is no message of a known form, which is acknowledged and
	// counted as skipped. The source sets it.
	Foreign bool
	// Reason and Err are why the message is given up, and FailedAt when that was
	// decided.
	Reason   deadletter.Reason
	Err      error
	FailedAt time.Time
	// UnderWay says, at Close, that a call has not returned.
	UnderWay bool

	// Small fields stand side by side: a thousand subscriptions that are held up
	// have tens of thousands of tasks.
	stage    stage
	holds    bool // later tasks of its key wait for this one
	follows  bool // it is in a run behind the task that holds its key
	lost     bool
	apart    bool // no other task is taken until its call has returned
	unloaded bool // its body was dropped: it is read again before the next call
	overdue  atomic.Bool
	taken    atomic.Bool
	row      uint32 // of failures that it counts in, for the circuit breaker

	envelope *message.Envelope // nil until it is decoded, and where that fails
	id, typ  string            // of the message, unless it is unloaded; the envelope may be changed by who gets it
	at       time.Time         // when the message was made; zero where it does not say
	size     int               // bytes of the body, counted against the budget unless it is unloaded
	key      string            // what the message's order is kept by; empty where none is

	due       time.Time // when a waiting task goes on
	downs     int       // calls in a row that found the target down
	downAlone int       // times that the target was down for this message, as its own matter, and then answered another
	cuts      int       // times that the target took this message, with no other under way, and did not answer
	giveUps   int       // failed tries to give it up

	// What the last call came to. The worker writes it, the dispatcher reads it
	// when the task is its own again.
	started   time.Time
	took      time.Duration
	err       error
	outcome   handler.Outcome
	after     time.Duration       // of a message that is postponed
	crash     *handler.PanicError // nil where it did not panic
	cut       bool                // the target took it, and was down then
	uncalled  bool                // it was rejected before the handler was called
	unhandled bool                // no handler will handle it
	unreached bool                // nothing of it reached the target, which is down whatever the message
	notRun    bool                // the worker did not call it, or cut it off

	alone            bool // no other call that may have brought the target down was under way beside it
	probe            bool // it was called to see whether the target is still down
	suspect          bool // the target may have gone down over it: it is called by itself until it is answered
	downAloneCounted bool // the last call is counted in downAlone, or must not be

	call *callContext // of the coming call, or of the last one; nil while it is unloaded
}

// MarkLost notes that another process has the message now. The source calls it,
// before it reports the task as lost.
func (t *Task) MarkLost() { t.taken.Store(true) }

// IsLost reports whether MarkLost was called. It may be called from any
// goroutine.
func (t *Task) IsLost() bool { return t.taken.Load() }

// isCallable reports whether a task can be called as it is: nothing is to be written
// or read before.
func (t *Task) isCallable() bool {
	return !t.lost && t.stage == toCall && !t.unloaded && t.Recorded >= t.Attempts+1
}

// hasKeyOf reports whether both are kept in order with each other.
func (t *Task) hasKeyOf(other *Task) bool { return t.key != "" && t.key == other.key }

// stage is what is to be done with a task.
type stage uint8

const (
	toCall stage = iota
	toGiveUp
	settled
)

// Overdue reports whether the task's call has run beyond its time-out. Such a
// task is not renewed. It may be called from any goroutine.
func (t *Task) Overdue() bool { return t.overdue.Load() }

// wasAnswered says that the last call reached the handler, and what that depends
// on: other durations say nothing of it.
func (t *Task) wasAnswered() bool {
	return t.outcome != handler.Skipped && t.outcome != handler.Down && !t.uncalled
}

// foundDown says that the task's last call found the target down.
func (t *Task) foundDown() bool { return t.outcome == handler.Down }

// hasFailed says that the task's last call failed.
func (t *Task) hasFailed() bool { return t.outcome == handler.Failed }

// foundDownAt is when that call began; zero where it did not.
func (t *Task) foundDownAt() time.Time {
	if !t.foundDown() {
		return time.Time{}
	}
	return t.started
}

// decode reads the message in the subscription's format, verifies it, and finds
// what its order is kept by. Entries of foreign shape belong to no aggregate:
// their stream is the whole stream, which none shall hold up.
func (t *Task) decode(c *Config) (err error) {
	var e message.Envelope
	switch c.Format {
	case handler.FormatFields:
		e, err = message.FromFields(t.Delivery)
	case handler.FormatObject:
		e, err = message.FromObject(t.Delivery)
	default:
		if e, err = message.FromDelivery(t.Delivery); err == nil && !c.SkipChecksums {
			err = e.Verify()
		}
	}
	if err != nil {
		return err
	}
	t.envelope = &e
	t.id, t.typ, t.at = e.Metadata.Headers.ID, e.Metadata.Headers.Type, e.Metadata.Headers.Time
	switch c.Order {
	case OrderNone:
	case OrderStream:
		if e.Metadata.Domain.Kind != message.KindBroker {
			t.key = e.Metadata.Headers.Stream
		}
	default:
		t.key, _ = message.FieldText(e.Data, c.Order)
	}
	return nil
}

// isForeign reports whether the message is not the subscription's: its origin is
// another than the one that the subscription is limited to, or an event store has
// it that was handled where it was made, or is neither event nor command.
func (t *Task) isForeign(c *Config) bool {
	domain := &t.envelope.Metadata.Domain
	if t.Delivery.Position > 0 && (!domain.Asynchronous || domain.Kind != message.KindEvent && domain.Kind != message.KindCommand) {
		return true
	}
	return c.OriginStream != "" && message.Category(t.envelope.Metadata.Domain.OriginStream) != c.OriginStream
}

// load counts the bytes of a body that was read against the budget.
func (t *Task) load(s *share) {
	t.size, t.unloaded = 0, false
	for _, f := range t.Delivery.Fields {
		t.size += len(f.Name) + len(f.Value)
	}
	s.add(t.size)
}

// release drops the body, and gives its bytes back to the budget.
func (t *Task) release(s *share) {
	if !t.unloaded {
		s.add(-t.size)
	}
	t.Delivery.Fields, t.envelope, t.unloaded = nil, nil, true
}

// unload releases the body of a task that is called again later, and what was read
// from it. What is left of the task but its key shares no memory with what the
// same read returned.
func (t *Task) unload(s *share) {
	t.release(s)
	t.id, t.typ, t.call = "", "", nil
}

// detach gives the body memory of its own: until then it shares that of all that
// the same read returned.
func (t *Task) detach(c *Config) {
	t.Delivery.Fields = slices.Clone(t.Delivery.Fields)
	for i := range t.Delivery.Fields {
		t.Delivery.Fields[i].Value = bytes.Clone(t.Delivery.Fields[i].Value)
	}
	_ = t.decodeAgain(c)
}

// decodeAgain decodes the body anew. The key stays what it was, whatever has become
// of the body: the queue behind the task has this one.
func (t *Task) decodeAgain(c *Config) error {
	key := t.key
	err := t.decode(c)
	t.key = key
	return err
}
