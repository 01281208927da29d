package deadletter

import (
	"context"
	"errors"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// ErrNoGroup is returned by a replay to a consumer group that does not exist.
var ErrNoGroup = errors.New("consumer group does not exist")

// Queue is what a broker offers on the dead-letter queues of its streams. A queue
// is named by its stream; one that does not exist is empty. No method repeats a
// command silently. All may be called side by side.
type Queue interface {
	Reader
	Replayer
	Editor
	Elector
}

// Reader reads dead-letter queues, and changes nothing.
type Reader interface {
	// State says how long a queue is, and where it ends.
	State(ctx context.Context, stream string) (State, error)
	// DeadLetters reads a page of a queue, oldest first. Where it returns fewer than
	// page.Max there are no more.
	DeadLetters(ctx context.Context, stream string, page Page) ([]message.Delivery, error)
}

// State is the length of a queue and the id of its newest entry, "" where it has none.
type State struct {
	Depth  int
	Newest string
}

// Page says which entries of a queue to read.
type Page struct {
	// After is the id after which the page begins; "" for the first entry.
	After string
	// Until is the last id that the page may hold; "" for the newest.
	Until string
	Max   int
}

// Replayer delivers messages again, to the group that gave them up and to no other.
type Replayer interface {
	// Groups are the consumer groups of a stream; none where there is no stream.
	Groups(ctx context.Context, stream string) ([]Group, error)
	// Replay makes each original pending for a consumer of the group, with no attempt
	// on record, and deletes its dead letter: both or neither. It returns an outcome
	// for each, in their order. Where the two cannot be done at once, a call that is
	// made again after an interruption completes what was begun.
	Replay(ctx context.Context, r Replay) ([]Outcome, error)
	// Copy adds an entry of these fields to a stream and deletes a dead letter of its
	// queue, as Replay does; false, and nothing is added, where there is no such dead
	// letter.
	Copy(ctx context.Context, stream, deadLetter string, fields []message.Field) (bool, error)
}

// Group is a consumer group of a stream.
type Group struct {
	Name string
	// Live says that an engine of this kind ran in the group within the last minute.
	Live bool
	// Consumers are those that the broker lists.
	Consumers []Consumer
}

// Consumer is a consumer of a group, and for how long it has been idle.
type Consumer struct {
	Name string
	Idle time.Duration
}

// Replay is what to deliver again to one group.
type Replay struct {
	Stream, Group string
	// Consumer gets the messages; "" leaves them to any engine of the group.
	Consumer string
	Items    []Item
}

// Item is a dead letter and the entry that it replaced, by their ids.
type Item struct{ DeadLetter, Original string }

// Outcome is what became of a replay.
type Outcome int

// The outcomes. In the first three the dead letter is deleted.
const (
	// Claimed: the original is pending for the consumer.
	Claimed Outcome = iota
	// AlreadyPending: the original was pending already, and stays with its consumer.
	AlreadyPending
	// Undelivered: the group has not got to the original yet, and will.
	Undelivered
	// Absent: the original is not in its stream any more. Nothing was done.
	Absent
	// Gone: there is no such dead letter any more. Nothing was done.
	Gone
)

// Editor changes dead-letter queues.
type Editor interface {
	// AddDeadLetters adds entries of these fields to a queue, in their order.
	AddDeadLetters(ctx context.Context, stream string, entries [][]message.Field) error
	// DeleteDeadLetters deletes entries of a queue and returns how many there were.
	DeleteDeadLetters(ctx context.Context, stream string, ids []string) (deleted int, err error)
	// TrimDeadLetters deletes exactly the entries that were added to a queue before a
	// time, and returns how many there were.
	TrimDeadLetters(ctx context.Context, stream string, before time.Time) (trimmed int, err error)
}

// Elector lets one of several processes maintain a queue.
type Elector interface {
	// Lead reports whether a candidate maintains the queue of a stream: until the lease
	// is over no other does, and each call of the same candidate renews it.
	Lead(ctx context.Context, stream, candidate string, lease time.Duration) (bool, error)
	// AlertDue reports whether an alert is to be told of a queue: it has crossed its
	// threshold, and no process holds the alert, which this one then does for a while.
	// One that has not crossed it is to be told of at the next crossing.
	AlertDue(ctx context.Context, stream string, crossed bool, hold time.Duration) (bool, error)
	// AlertTold holds an alert that was told for longer, unless the queue is below its
	// threshold again.
	AlertTold(ctx context.Context, stream string, hold time.Duration) error
}
