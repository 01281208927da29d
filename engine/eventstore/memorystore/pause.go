package memorystore

import (
	"context"

	"github.com/observatory-go/observatory/engine/subscription"
)

// PauseStates implements [subscription.Pauses].
func (s *Store) PauseStates(ctx context.Context, of []subscription.Identity) (map[subscription.Identity]subscription.PauseState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make(map[subscription.Identity]subscription.PauseState, len(of))
	for _, id := range of {
		states[id] = s.pauses[id]
	}
	return states, ctx.Err()
}

// SetPause keeps what an operator says of a subscription.
func (s *Store) SetPause(ctx context.Context, of subscription.Identity, state subscription.PauseState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses[of] = state
	return ctx.Err()
}
