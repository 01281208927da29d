package memorybroker

import (
	"context"

	"github.com/observatory-go/observatory/engine/subscription"
)

// PauseStates implements [subscription.Pauses].
func (b *Broker) PauseStates(ctx context.Context, of []subscription.Identity) (states map[subscription.Identity]subscription.PauseState, err error) {
	err = b.do(ctx, "read which subscriptions are paused", func() error {
		states = make(map[subscription.Identity]subscription.PauseState, len(of))
		for _, id := range of {
			states[id] = b.pauses[id]
		}
		return nil
	})
	return states, err
}

// SetPause keeps what an operator says of a subscription.
func (b *Broker) SetPause(ctx context.Context, of subscription.Identity, s subscription.PauseState) error {
	return b.do(ctx, "pause or resume "+of.Stream, func() error {
		b.pauses[of] = s
		return nil
	})
}
