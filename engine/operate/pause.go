package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Change is what became of one subscription that was to be paused or resumed.
type Change struct {
	Subscription
	// Changed says that it was done: the subscription was not so already.
	Changed bool
	// State is what holds now; where nothing was changed, what held before.
	State subscription.PauseState
	// Err is why it was not done; nil where it was, or was not needed.
	Err error
}

// Pause pauses all subscriptions of a handler, by its full or its short name: all
// processes that run one begin no further call within two seconds, and none does
// after a restart, until [Operator.Resume]. What is under way finishes, and what waits
// for its attempt waits on. by is who pauses, and reason why, which must be given.
//
// A subscription that is paused already stays as it is. The error is that there is no
// such handler, or that something is missing; where a server failed, its Change has the
// error, and Pause may be called again.
func (o *Operator) Pause(ctx context.Context, handler, by, reason string) ([]Change, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, errors.New("a pause needs a reason: those who find the subscription paused shall know it")
	}
	return o.say(ctx, handler, subscription.PauseState{Paused: true, By: by, Reason: reason})
}

// Resume ends the pause of all subscriptions of a handler, as [Operator.Pause] began
// it. by is who resumes, and reason why; it may be empty.
func (o *Operator) Resume(ctx context.Context, handler, by, reason string) ([]Change, error) {
	return o.say(ctx, handler, subscription.PauseState{By: by, Reason: reason})
}

func (o *Operator) say(ctx context.Context, handler string, s subscription.PauseState) ([]Change, error) {
	if strings.TrimSpace(s.By) == "" {
		return nil, errors.New("who pauses or resumes a subscription must be named")
	}
	configured, err := o.catalog()
	if err != nil {
		return nil, err
	}
	found, err := named(configured, handler)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(found, func(other Subscription) bool { return other.Handler != found[0].Handler }); i > 0 {
		return nil, fmt.Errorf("%q is the short name of two handlers: give the full one, %s or %s", handler, found[0].Handler, found[i].Handler)
	}
	s.At = time.Now().UTC()
	changes := make([]Change, len(found))
	for i, of := range found {
		changes[i] = Change{Subscription: of}
		changes[i].make(ctx, s)
	}
	return changes, nil
}

// make says it of one subscription, unless that holds already.
func (c *Change) make(ctx context.Context, s subscription.PauseState) {
	if c.Pauses == nil {
		c.Err = errors.New("its broker is in the memory of the process that serves it, or keeps no pauses")
		return
	}
	id := subscription.Identity{Stream: c.Stream, Group: c.Group}
	states, err := c.Pauses.PauseStates(ctx, []subscription.Identity{id})
	if err != nil {
		c.Err = err
		return
	}
	if c.State = states[id]; c.State.Paused == s.Paused {
		return
	}
	if c.Err = c.Pauses.SetPause(ctx, id, s); c.Err == nil {
		c.State, c.Changed = s, true
	}
}
