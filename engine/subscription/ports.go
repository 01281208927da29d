package subscription

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// ErrLost is the cause of a handler's context that ended because its message
// belongs to another consumer now.
var ErrLost = errors.New("the message is not this consumer's any more")

// Opener makes the source of one subscription: what its kind is, is known here
// and nowhere else.
type Opener interface {
	// Open returns the source; it contacts no server.
	Open(c Config, log *slog.Logger) Source
}

// Source is where messages come from and where their outcome is written.
type Source interface {
	Intake
	Settlement
}

// Intake offers messages.
type Intake interface {
	// Next returns at most max tasks: first those that this process is known to
	// hold and does not work on, then those that another process released, then
	// new ones. One goroutine calls it. It waits up to a second where there are
	// none. No task and no error means that a whole turn worked and found
	// nothing; tasks may come with an error.
	Next(ctx context.Context, max int) ([]*Task, error)
	// Upkeep writes what Done took, renews what is in flight and saves
	// positions, beside Next, until ctx ends. What another process has taken
	// over is sent to lost.
	Upkeep(ctx context.Context, lost chan<- []*Task)
	// Close writes what Done took and gives back all that is unsettled. It is
	// called once, after Next and Upkeep have returned; ctx is the one deadline.
	Close(ctx context.Context) error
}

// Settlement writes what came of a message.
type Settlement interface {
	// Done takes tasks that were handled. It never blocks and keeps no
	// reference to the slice.
	Done(tasks []*Task)
	// Attempt puts the coming attempt of each task on record before it is made.
	// The lost ones are another process's now; they may be more than were given.
	Attempt(ctx context.Context, tasks []*Task) (lost []*Task, err error)
	// GiveUp writes what is known of each task where failed messages are kept,
	// and ends it. The lost ones as in Attempt. Where it fails, some may be
	// written all the same; it may be called again for all of them.
	GiveUp(ctx context.Context, tasks []*Task) (lost []*Task, err error)
}

// Reloader is implemented by a source that can read bodies again, so that a
// message which waits long for its next attempt needs no memory.
type Reloader interface {
	// Reload fills in the fields of each task's delivery. A body that is gone
	// is left empty.
	Reload(ctx context.Context, tasks []*Task) error
}

// Task is one message in flight. The source makes it; until it is done, given
// up, lost or closed it belongs to the dispatcher, apart from the fields that
// say otherwise.
type Task struct {
	// Delivery is what the source got.
	Delivery message.Delivery
	// Attempts counts the calls of the handler that were made, by this process
	// and those before it.
	Attempts int
	// Recorded is the number of attempts that the source has on record. Where
	// it is Attempts+1 or more the coming call needs no Attempt. The source sets
	// it when it makes the task; from then on the dispatcher does.
	Recorded int
	// Err is why the message is given up, and FailedAt when that was decided.
	Err      error
	FailedAt time.Time
	// UnderWay says, at Close, that a call has not returned.
	UnderWay bool

	envelope *message.Envelope // nil until it is decoded, and where that fails
	size     int               // bytes of the body, counted against the budget
	key      string            // what the message's order is kept by; empty where none is
	stage    stage
	holds    bool // later tasks of its key wait for this one
	follows  bool // it is in a run behind the task that holds its key
	lost     bool
	unloaded bool // its body was dropped while it waits

	due           time.Time // when a waiting task goes on
	excuses       int       // times that the target was down for this message and then answered another
	excuseCounted bool      // the last call is counted in excuses
	giveUps       int       // failed tries to give it up

	// What the last call came to. The worker writes it, the dispatcher reads it
	// when the task is its own again.
	started time.Time
	took    time.Duration
	err     error
	outcome handler.Outcome
	after   time.Duration // of a message that is postponed
	notRun  bool          // the worker did not call it, or cut it off

	call      *callContext
	firstCall callContext
	overdue   atomic.Bool
	taken     atomic.Bool
}

// MarkLost notes that another process has the message now. The source calls it,
// before it reports the task as lost.
func (t *Task) MarkLost() { t.taken.Store(true) }

// IsLost reports whether MarkLost was called. It may be called from any
// goroutine.
func (t *Task) IsLost() bool { return t.taken.Load() }

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

// foundDown says that the task's last call found the target down.
func (t *Task) foundDown() bool { return t.outcome == handler.Down }

// foundDownAt is when that call began; zero where it did not.
func (t *Task) foundDownAt() time.Time {
	if !t.foundDown() {
		return time.Time{}
	}
	return t.started
}
