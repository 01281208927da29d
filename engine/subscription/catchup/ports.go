package catchup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// All is the category of a subscription to every message of the store.
const All = "$all"

// PauseCategory is the category in which a store may keep which subscriptions are
// paused.
const PauseCategory = "observatory:pause"

// ErrOwned is returned by Own where another process is the owner.
var ErrOwned = errors.New("another process owns the subscription")

// ErrFenced is returned by Save to an owner that is one no more: another process
// has written since, or may have.
var ErrFenced = errors.New("another process owns the subscription now")

// ErrPositionLost is returned by Save beside ErrFenced where no other process wrote:
// the rows of the position were deleted.
var ErrPositionLost = errors.New("the position of the subscription was deleted")

// AheadError says that a subscription's position is beyond what the store holds:
// it was restored to an earlier state, or is another store. Going on would skip
// what is written next.
type AheadError struct {
	Position, Head int64
	// WayOut is what an operator can do.
	WayOut string
}

// Error names the two positions and the way out.
func (e *AheadError) Error() string {
	return fmt.Sprintf("position %d is beyond the event store's head, which was %d: the store was restored, or is another one; "+
		"reading on would skip messages: %s", e.Position, e.Head, e.WayOut)
}

// Store is what an event store offers to a subscription.
type Store interface {
	Log
	Positions
}

// Log reads a category's messages, or for [All] those of the store, in the order
// of their global positions.
type Log interface {
	// ReadCategory returns up to max messages whose global position is above
	// after. A message that appears later has a position above all that were
	// returned.
	ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error)
	// ReadAt returns the messages at these global positions, in their order;
	// those that do not exist are left out.
	ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error)
	// Wait returns true when the category has a message above after, and false
	// when d has passed. The error is an *AheadError where after is above the
	// store's head.
	Wait(ctx context.Context, category string, after int64, d time.Duration) (bool, error)
}

// Positions keep how far a subscription is. The subscription is named by its
// handler's full name.
type Positions interface {
	// Own makes the caller the owner of a subscription: no other writes its
	// position until Release, or until this process or its connection ends. The
	// error is ErrOwned where another process is the owner, and an *AheadError
	// where the position cannot be true.
	Own(ctx context.Context, subscription, category string) (Ownership, error)
	// LoadPosition returns how far a subscription is, without owning it; of one that
	// never saved, position 0 and no failed ones.
	LoadPosition(ctx context.Context, subscription, category string) (State, error)
}

// Ownership is held by the one process that runs a subscription. Its methods
// are called one at a time, but for Ended.
type Ownership interface {
	// State is how far the subscription was when it was owned.
	State() State
	// Save writes a change: all of it or nothing. ErrFenced ends the ownership,
	// with ErrPositionLost beside it where no other is the owner; after any other error the change may have been written, and may be written
	// again.
	Save(ctx context.Context, c Change) error
	// Ended is closed when the ownership is known to have ended.
	Ended() <-chan struct{}
	// Release ends the ownership.
	Release(ctx context.Context) error
}

// State is how far a subscription is.
type State struct {
	// Position is the global position up to which nothing is read any more.
	Position int64
	// Failed are the positions that are not settled, in their order.
	Failed []Failed
	// Interrupted says that the last owner did not stop in order: one of the
	// messages it held may be what ended it.
	Interrupted bool
	// Fence is the ownership's number, from 1: greater than that of any before it.
	// LoadPosition leaves it 0.
	Fence int64
	// Head is the position of the store's last message when it was owned: what is
	// above it no owner before had. LoadPosition leaves it 0.
	Head int64
}

// Failed is a message that is not settled.
type Failed struct {
	Position int64
	// Attempts is how often a handler was called for it.
	Attempts int
	// MessageID, MessageType and Stream name the message, StreamPosition is where
	// it stands in its stream.
	MessageID, MessageType, Stream string
	StreamPosition                 int64
}

// Change is what a subscription writes down.
type Change struct {
	// Position is the new position; 0 leaves it.
	Position int64
	// Failed are added, or replace those of their position.
	Failed []Failed
	// Resolved were handled, and Exhausted given up: neither is failed any more.
	Resolved, Exhausted []Failed
	// Stopped says that the owner holds nothing any more.
	Stopped bool
}

// isEmpty reports whether there is nothing to write.
func (c Change) isEmpty() bool {
	return c.Position == 0 && !c.Stopped && len(c.Failed)+len(c.Resolved)+len(c.Exhausted) == 0
}
