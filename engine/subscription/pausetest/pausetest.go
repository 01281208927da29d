// Package pausetest is the conformance suite of what keeps which subscriptions are
// paused: brokers and event stores.
package pausetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Keeper keeps which subscriptions are paused.
type Keeper interface {
	subscription.Pauses
	SetPause(ctx context.Context, of subscription.Identity, s subscription.PauseState) error
}

// Run tries what a keeper of pauses promises, with subscriptions to stream.
func Run(t *testing.T, p Keeper, stream string) {
	t.Helper()
	ctx := t.Context()
	one, two := subscription.Identity{Stream: stream, Group: "shop.Mailer"}, subscription.Identity{Stream: stream, Group: "shop.Report"}
	other := subscription.Identity{Stream: stream + "2", Group: "shop.Mailer"}
	require.Equal(t, map[subscription.Identity]subscription.PauseState{one: {}, two: {}, other: {}}, statesOf(t, p, one, two, other), "nothing was said yet")

	paused := subscription.PauseState{Paused: true, By: "ann@ops", At: time.Date(2026, 11, 25, 22, 0, 0, 123456000, time.UTC), Reason: `the "warehouse" moves: ü`}
	require.NoError(t, p.SetPause(ctx, one, paused))
	require.Equal(t, map[subscription.Identity]subscription.PauseState{one: paused, two: {}, other: {}}, statesOf(t, p, one, two, other))
	require.Equal(t, map[subscription.Identity]subscription.PauseState{two: {}}, statesOf(t, p, two), "no other than asked for")
	require.Empty(t, statesOf(t, p))

	resumed := subscription.PauseState{By: "ben", At: paused.At.Add(time.Hour), Reason: "moved"}
	require.NoError(t, p.SetPause(ctx, one, resumed))
	require.Equal(t, map[subscription.Identity]subscription.PauseState{one: resumed}, statesOf(t, p, one), "by whom it was resumed is known for a while")

	again := subscription.PauseState{Paused: true, By: "ann", At: paused.At.Add(2 * time.Hour)}
	require.NoError(t, p.SetPause(ctx, one, again))
	require.Equal(t, map[subscription.Identity]subscription.PauseState{one: again}, statesOf(t, p, one))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := p.PauseStates(ended, []subscription.Identity{one})
	require.Error(t, err)
}

func statesOf(t *testing.T, p Keeper, of ...subscription.Identity) map[subscription.Identity]subscription.PauseState {
	t.Helper()
	states, err := p.PauseStates(t.Context(), of)
	require.NoError(t, err)
	return states
}
