package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// A copy that replaces an original is of the group that gave that up.
func TestACopyForOneGroupIsPassedOverByTheOthers(t *testing.T) {
	t.Parallel()
	b := memorybroker.New()
	const text = `{"data": {}, "metadata": {"headers": {"id": "m-1", "type": "T", "stream": "s-1"}}}`
	data := message.Field{Name: message.DataField, Value: []byte(text)}
	_, err := b.Publish(t.Context(), "s", append([]message.Field{data}, message.ReplayFields("g", "1-0")...)...)
	require.NoError(t, err)
	last, err := b.Publish(t.Context(), "s", data)
	require.NoError(t, err)

	type call struct{ group, entry, id string }
	calls := make(chan call, 9)
	c := engine.Config{Health: engine.HealthConfig{Disabled: true}}
	for _, group := range []string{"g", "h"} {
		c.Subscriptions = append(c.Subscriptions, engine.Subscription{
			Config: subscription.Config{Handler: group, Stream: "s", SkipChecksums: true}, Source: consumergroup.Over(b),
			Func: func(_ context.Context, m *message.Envelope) error {
				calls <- call{group, m.Source.ID, m.Metadata.Headers.ID}
				return nil
			},
		})
	}
	e, err := engine.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	count := map[string]int{}
	for range 3 {
		select {
		case got := <-calls:
			require.Equal(t, "m-1", got.id)
			require.True(t, got.group == "g" || got.entry == last, "%v", got)
			count[got.group]++
		case <-time.After(time.Minute):
			require.FailNow(t, "no call")
		}
	}
	require.Equal(t, map[string]int{"g": 2, "h": 1}, count)
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, calls)
}
