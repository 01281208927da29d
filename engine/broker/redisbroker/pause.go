package redisbroker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// mgetPage is how many pauses one command reads.
	mgetPage = 500
	// resumedFor is how long it is kept that a subscription was resumed, so that all
	// processes log by whom.
	resumedFor = time.Minute
)

// pauseKey is where the pause of a subscription is kept. It is in the slot of its
// stream.
func pauseKey(of subscription.Identity) string {
	return "observatory:{" + of.Stream + "}:pause:" + of.Group
}

// pauseValue is what the key holds, as JSON.
type pauseValue struct {
	// State is "paused" or "resumed".
	State  string    `json:"state"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// The states of a pauseValue.
const (
	statePaused  = "paused"
	stateResumed = "resumed"
)

// readPause is what a key's value says. Whatever it is that is no such value was set
// by hand, to pause the subscription.
func readPause(text string) subscription.PauseState {
	var v pauseValue
	if json.Unmarshal([]byte(text), &v) != nil || v.State != statePaused && v.State != stateResumed {
		return subscription.PauseState{Paused: true, Reason: fmt.Sprintf("the key was set by hand, to %.100q", text)}
	}
	return subscription.PauseState{Paused: v.State == statePaused, By: v.By, At: v.At, Reason: v.Reason}
}

// pauseReplies are the commands that ask for pauses, in the order of these.
type pauseReplies struct {
	of       []subscription.Identity
	commands []command
	each     int // how many pauses a command reads
}

// queuePauses adds what asks for pauses to a pipeline. The nodes of a cluster have a
// command for each, which is sent to the node of its stream.
func (b *Broker) queuePauses(ctx context.Context, pipe redis.Pipeliner, of []subscription.Identity) pauseReplies {
	r := pauseReplies{of: of, each: mgetPage}
	if b.cluster {
		r.each = 1
	}
	for i := 0; i < len(of); i += r.each {
		page := of[i:min(i+r.each, len(of))]
		args := make([]any, 1, 1+len(page))
		if args[0] = "MGET"; b.cluster {
			args[0] = "GET"
		}
		for _, id := range page {
			args = append(args, pauseKey(id))
		}
		c := newCommand(ctx, args...)
		r.commands = append(r.commands, c)
		_ = pipe.Process(ctx, c)
	}
	return r
}

// states are the pauses that were read, and why the others were not.
func (r pauseReplies) states() (states map[subscription.Identity]subscription.PauseState, err error) {
	states = make(map[subscription.Identity]subscription.PauseState, len(r.of))
	for i, c := range r.commands {
		page := r.of[i*r.each : min((i+1)*r.each, len(r.of))]
		values, isList := c.Val().([]any)
		switch failed := c.Err(); {
		case failed == redis.Nil: //nolint:errorlint // never wrapped
			values = []any{nil}
		case failed != nil:
			err = failed
			continue
		case !isList:
			values = []any{c.Val()}
		}
		for k, id := range page {
			var state subscription.PauseState
			if text, set := values[k].(string); set {
				state = readPause(text)
			}
			states[id] = state
		}
	}
	return states, err
}

// PauseStates implements [subscription.Pauses]. It sends one command for five hundred
// subscriptions, on a Cluster one for each, in one pipeline.
func (b *Broker) PauseStates(ctx context.Context, of []subscription.Identity) (states map[subscription.Identity]subscription.PauseState, err error) {
	err = b.do("read which subscriptions are paused", func() error {
		pipe := b.commands.Pipeline()
		replies := b.queuePauses(ctx, pipe, of)
		cmds, err := pipe.Exec(ctx)
		if err := connectionError(cmds, err); err != nil && !b.cluster {
			return err
		}
		states, err = replies.states()
		if isDenial(err) {
			return fmt.Errorf("%w: the user needs the keys observatory:* and the commands of the operations guide: %w", subscription.ErrNoPauses, err)
		}
		return err
	})
	return states, err
}

// SetPause keeps what an operator says of a subscription, for all processes. That it
// is resumed is kept for a minute.
func (b *Broker) SetPause(ctx context.Context, of subscription.Identity, s subscription.PauseState) error {
	return b.do("pause or resume "+of.Stream, func() error {
		v := pauseValue{State: stateResumed, By: s.By, At: s.At, Reason: s.Reason}
		keep := resumedFor
		if s.Paused {
			v.State, keep = statePaused, 0
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err = b.commands.Set(ctx, pauseKey(of), text, keep).Err(); isDenial(err) {
			return fmt.Errorf("the user needs the key %q and the command SET, see the operations guide: %w", pauseKey(of), err)
		}
		return err
	})
}
