package subscription

import (
	"context"
	"errors"
	"log/slog"
)

// ErrLost is the cause of a handler's context that ended because its message
// belongs to another consumer now.
var ErrLost = errors.New("the message is not this consumer's any more")

// ErrStandby is returned by Next while another process runs the subscription.
var ErrStandby = errors.New("another process runs the subscription")

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
	// some that one left which died, and new ones with them (of both together there may
	// be more: those that were left and whose bodies are gone, and one that is new). One goroutine calls it. It waits up to a second where
	// there are none. No task and no error means that a whole turn worked and found
	// nothing; tasks may come with an error. ErrStandby, after a wait, is no failure.
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
	// Attempt puts the coming attempt of each task on record before it is made, and
	// sets Recorded.
	// The lost ones are another process's now; they may be more than were given.
	Attempt(ctx context.Context, tasks []*Task) (lost []*Task, err error)
	// GiveUp writes what is known of each task where failed messages are kept,
	// and ends it. The lost ones as in Attempt. Where it fails, some may be
	// written all the same; it may be called again for all of them.
	GiveUp(ctx context.Context, tasks []*Task) (lost []*Task, err error)
}

// Follower is implemented by a source that takes messages over from processes that
// died: one of them may be what ended its process.
type Follower interface {
	// Returned is called once for each task that is TakenOver and not given to Done
	// before: when a call of it has returned, unless the target is down for all, or runs
	// beyond its time-out, when it has to wait for another message of its key, or when
	// it will not be called. It never blocks.
	Returned(t *Task)
}

// Reloader is implemented by a source that can read bodies again, so that a
// message which waits long for its next attempt needs no memory.
type Reloader interface {
	// Reload fills in the fields of each task's delivery. A body that is gone
	// is left empty.
	Reload(ctx context.Context, tasks []*Task) error
}
