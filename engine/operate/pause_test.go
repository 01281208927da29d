package operate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/operate"
	"github.com/observatory-go/observatory/engine/subscription"
)

// refusing keeps pauses, but for one stream.
type refusing struct {
	*memorybroker.Broker
	stream string
}

func (r refusing) SetPause(ctx context.Context, of subscription.Identity, s subscription.PauseState) error {
	if of.Stream == r.stream {
		return errors.New("refused")
	}
	return r.Broker.SetPause(ctx, of, s)
}

func pausable(pauses operate.Pauses) operate.Catalog {
	return func() ([]operate.Subscription, error) {
		return []operate.Subscription{
			{Handler: "shop.Mailer", Stream: "shop::order", Group: "shop.Mailer", Type: "stream", Pauses: pauses},
			{Handler: "shop.Mailer", Stream: "shop::item", Group: "shop.Mailer", Type: "stream", Pauses: pauses},
			{Handler: "shop.Report", Stream: "shop::order", Group: "shop.Report", Type: "stream", Pauses: pauses},
			{Handler: "old.Report", Stream: "shop::order", Group: "old.Report", Type: "stream"},
		}, nil
	}
}

func TestPausingAHandlerPausesEachOfItsSubscriptionsOnce(t *testing.T) {
	t.Parallel()
	broker := memorybroker.New()
	operator := operate.New(pausable(broker), nil)
	began := time.Now().Add(-time.Second)
	changes, err := operator.Pause(t.Context(), "Mailer", "ann@ops", "moving")
	require.NoError(t, err)
	require.Len(t, changes, 2)
	for _, c := range changes {
		require.NoError(t, c.Err)
		require.True(t, c.Changed)
	}
	ids := []subscription.Identity{{Stream: "shop::order", Group: "shop.Mailer"}, {Stream: "shop::item", Group: "shop.Mailer"}, {Stream: "shop::order", Group: "shop.Report"}}
	states, err := broker.PauseStates(t.Context(), ids)
	require.NoError(t, err)
	for _, id := range ids[:2] {
		require.True(t, states[id].Paused)
		require.Equal(t, "ann@ops", states[id].By)
		require.Equal(t, "moving", states[id].Reason)
		require.WithinRange(t, states[id].At, began, time.Now())
	}
	require.False(t, states[ids[2]].Paused, "no other handler")

	changes, err = operator.Pause(t.Context(), "shop.Mailer", "ben", "again")
	require.NoError(t, err)
	require.False(t, changes[0].Changed)
	require.Equal(t, "ann@ops", changes[0].State.By, "the first stands")

	changes, err = operator.Resume(t.Context(), "shop.Mailer", "ben", "")
	require.NoError(t, err)
	require.True(t, changes[1].Changed)
	states, err = broker.PauseStates(t.Context(), ids)
	require.NoError(t, err)
	require.False(t, states[ids[0]].Paused)
	require.Equal(t, "ben", states[ids[0]].By)
	changes, err = operator.Resume(t.Context(), "shop.Mailer", "ben", "")
	require.NoError(t, err)
	require.False(t, changes[0].Changed)
}

func TestWhatCannotBePausedIsToldForEachSubscription(t *testing.T) {
	t.Parallel()
	operator := operate.New(pausable(refusing{memorybroker.New(), "shop::item"}), nil)
	changes, err := operator.Pause(t.Context(), "Mailer", "ann", "moving")
	require.NoError(t, err)
	require.True(t, changes[0].Changed)
	require.EqualError(t, changes[1].Err, "refused")
	require.False(t, changes[1].Changed)

	changes, err = operator.Pause(t.Context(), "old.Report", "ann", "moving")
	require.NoError(t, err)
	require.ErrorContains(t, changes[0].Err, "keeps no pauses")

	for want, call := range map[string][3]string{
		`"Report" is the short name of two handlers: give the full one, shop.Report or old.Report`:     {"Report", "ann", "x"},
		`there is no handler "Nope" in the file: expected one of shop.Mailer, shop.Report, old.Report`: {"Nope", "ann", "x"},
		`a pause needs a reason: those who find the subscription paused shall know it`:                 {"Mailer", "ann", " "},
		`who pauses or resumes a subscription must be named`:                                           {"Mailer", "", "x"},
	} {
		_, err := operator.Pause(t.Context(), call[0], call[1], call[2])
		require.EqualError(t, err, want)
	}
}
