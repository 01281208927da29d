package catchup

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// Store is what an event store offers to a subscription.
type Store interface {
	Log
	Positions
}

// Log reads a category's messages in the order of their global positions.
type Log interface {
	// ReadCategory returns up to max messages whose global position is above
	// after.
	ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error)
	// ReadAt returns the messages at these global positions, in their order;
	// those that do not exist are left out.
	ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error)
	// Wait returns when the category has a message above after, or d has passed.
	Wait(ctx context.Context, category string, after int64, d time.Duration) error
}

// Positions keep how far a subscription is. The subscription is named by its
// handler's full name.
type Positions interface {
	// LoadPosition returns what SavePosition wrote; of a subscription that never
	// saved, position 0 and no failed ones.
	LoadPosition(ctx context.Context, subscription, category string) (State, error)
	// SavePosition writes a change: all of it or nothing.
	SavePosition(ctx context.Context, subscription, category string, c Change) error
}

// State is how far a subscription is.
type State struct {
	// Position is the global position up to which nothing is read any more.
	Position int64
	// Failed are the positions up to it that are not settled.
	Failed []Failed
}

// Failed is a message that is not settled.
type Failed struct {
	Position int64
	// Attempts is how often a handler was called for it.
	Attempts int
	// MessageID, MessageType and Stream name the message.
	MessageID, MessageType, Stream string
}

// Change is what a subscription writes down.
type Change struct {
	// Position is the new position; 0 leaves it.
	Position int64
	// Failed are added, or replace those of their position.
	Failed []Failed
	// Resolved were handled, and Exhausted given up: neither is failed any more.
	Resolved, Exhausted []Failed
}

// isEmpty reports whether there is nothing to write.
func (c Change) isEmpty() bool {
	return c.Position == 0 && len(c.Failed)+len(c.Resolved)+len(c.Exhausted) == 0
}
