package subscription_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription"
)

func TestEachProfileHasTheValuesOfTheReference(t *testing.T) {
	t.Parallel()
	type row struct {
		typ      subscription.Type
		messages int
		tick     time.Duration
		block    time.Duration
		calls    int
		delay    time.Duration
		dlq      bool
		position int
	}
	want := map[subscription.Profile]row{
		subscription.Production: {subscription.TypeStream, 100, 0, 5 * time.Second, 3, time.Second, true, 10},
		subscription.Fast:       {subscription.TypeStream, 10, 0, 100 * time.Millisecond, 2, 0, true, 5},
		subscription.Batch:      {subscription.TypeStream, 500, 0, 10 * time.Second, 5, 2 * time.Second, true, 50},
		subscription.Debug:      {subscription.TypeStream, 1, time.Second, time.Second, 1, 0, false, 1},
		subscription.Projection: {subscription.TypeEventStore, 100, 0, 5 * time.Second, 3, time.Second, false, 10},
	}
	require.Len(t, subscription.Profiles(), len(want))
	for _, p := range subscription.Profiles() {
		s, ok := p.Settings()
		require.True(t, ok, p)
		require.Equal(t, want[p], row{
			*s.Type, *s.MessagesPerTick, *s.TickInterval, *s.BlockingTimeout,
			*s.MaxRetries, *s.RetryDelay, *s.EnableDLQ, *s.PositionInterval,
		}, p)
		require.Nil(t, s.BreakerThreshold, p)
		require.Nil(t, s.BreakerReset, p)
		require.Nil(t, s.RetentionMaxLen, p)
	}
}

func TestAnUnknownProfileHasNoSettings(t *testing.T) {
	t.Parallel()
	_, ok := subscription.Profile("nonsense").Settings()
	require.False(t, ok)
}

func TestWhatASourceLeavesOutShowsThroughFromBelow(t *testing.T) {
	t.Parallel()
	above := subscription.Settings{MaxRetries: new(0), EnableDLQ: new(false)}
	got := above.Over(subscription.Defaults())
	require.Equal(t, 0, *got.MaxRetries, "zero is a value, not an absence")
	require.False(t, *got.EnableDLQ)
	require.Equal(t, 10, *got.MessagesPerTick)

	full := subscription.Settings{
		Type: new(subscription.TypeEventStore), MessagesPerTick: new(1), TickInterval: new(time.Second),
		BlockingTimeout: new(time.Second), MaxRetries: new(1), RetryDelay: new(time.Second), EnableDLQ: new(true),
		PositionInterval: new(1), OriginStream: new("a"), DLQRetentionHours: new(1), DLQAlertThreshold: new(1),
		BreakerThreshold: new(1), BreakerReset: new(time.Second), RetentionMaxLen: new(1), Order: new("none"),
		Concurrency: new(2), HandlerTimeout: new(time.Second), RetryMultiplier: new(2.0), RetryMaxDelay: new(time.Second),
		RetryJitter: new(0.5), StartAtEnd: new(true), ClaimIdle: new(time.Second),
	}
	require.Equal(t, full, subscription.Settings{}.Over(full), "no field is forgotten")
	require.Equal(t, full, full.Over(subscription.Defaults()), "no field is forgotten")
}
