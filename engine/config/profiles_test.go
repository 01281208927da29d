package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/subscription"
)

func TestEachProfileHasTheValuesOfTheReference(t *testing.T) {
	t.Parallel()
	const sec = time.Second
	want := map[string]map[string]any{
		"production": {
			"subscription_type": "stream", "messages_per_tick": 100, "tick_interval": 0 * sec, "blocking_timeout_ms": 5 * sec,
			"max_retries": 3, "retry_delay_seconds": sec, "enable_dlq": true, "position_update_interval": 10,
		},
		"fast": {
			"subscription_type": "stream", "messages_per_tick": 10, "tick_interval": 0 * sec, "blocking_timeout_ms": sec / 10,
			"max_retries": 2, "retry_delay_seconds": 0 * sec, "enable_dlq": true, "position_update_interval": 5,
		},
		"batch": {
			"subscription_type": "stream", "messages_per_tick": 500, "tick_interval": 0 * sec, "blocking_timeout_ms": 10 * sec,
			"max_retries": 5, "retry_delay_seconds": 2 * sec, "enable_dlq": true, "position_update_interval": 50,
		},
		"debug": {
			"subscription_type": "stream", "messages_per_tick": 1, "tick_interval": sec, "blocking_timeout_ms": sec,
			"max_retries": 1, "retry_delay_seconds": 0 * sec, "enable_dlq": false, "position_update_interval": 1,
		},
		"projection": {
			"subscription_type": "event_store", "messages_per_tick": 100, "tick_interval": 0 * sec, "blocking_timeout_ms": 5 * sec,
			"max_retries": 3, "retry_delay_seconds": sec, "enable_dlq": false, "position_update_interval": 10,
		},
	}
	profiles := parse(t, "").layers.profiles
	require.Len(t, profiles, len(want))
	for name, values := range want {
		require.Len(t, profiles[name], 1)
		require.Equal(t, values, profiles[name][0].set, name)
	}
}

// Every field of a subscription that has a default of its own, and that a file
// can set, gets the same default from the file.
func TestAFileThatSaysNothingResolvesToTheDefaultsOfASubscription(t *testing.T) {
	t.Parallel()
	r, err := parse(t, "").Resolve(handler.Events("shop.Plain", "s"))
	require.NoError(t, err)
	got, want := r.Config(), subscription.Config{}.WithDefaults()
	want.Retry.MaxAttempts, want.Retry.Delay = 3, time.Second // which is one attempt and no delay without a file
	require.Equal(t, want, got)
	for _, s := range r.Settings {
		switch s.Key {
		case "enable_dlq":
			require.Equal(t, Setting{"enable_dlq", "false", "event_store subscription"}, s)
		default:
			require.Equal(t, "default", s.Origin, s.Key)
		}
	}
}

func TestASettingNamesThePlaceThatDecidedIt(t *testing.T) {
	t.Parallel()
	c := parse(t, `
[server]
default_subscription_type = "stream"
default_subscription_profile = "fast"
messages_per_tick = 20
[server.stream_subscription]
blocking_timeout_ms = 250.5
[server.profiles.careful]
inherits = "batch"
retry_jitter = 0.5
[server.subscriptions.Mailer]
profile = "careful"
concurrency = 4
[observatory.handlers."shop.Audit"]
stream = "shop::order"
deliver = "log:"
claim_idle_seconds = 5
`)
	origins := func(r handler.Registration) map[string]Setting {
		resolved, err := c.Resolve(r)
		require.NoError(t, err)
		all := map[string]Setting{}
		for _, s := range resolved.Settings {
			all[s.Key] = s
		}
		return all
	}

	plain := origins(handler.Events("shop.Plain", "s"))
	require.Equal(t, Setting{"subscription_type", "stream", "[server]"}, plain["subscription_type"])
	require.Equal(t, Setting{"messages_per_tick", "20", "[server]"}, plain["messages_per_tick"])
	require.Equal(t, Setting{"blocking_timeout_ms", "250.5", "[server.stream_subscription]"}, plain["blocking_timeout_ms"])
	require.Equal(t, Setting{"max_retries", "2", "profile fast"}, plain["max_retries"])
	require.Equal(t, Setting{"concurrency", "1", "default"}, plain["concurrency"])
	require.Equal(t, Setting{"origin_stream", "", "default"}, plain["origin_stream"])

	mailer := origins(handler.Events("shop.Mailer", "s").With(handler.Options{
		SourceStream: "shop::order", Settings: map[string]any{"order": "none", "retry_delay_seconds": 1.5},
	}))
	require.Equal(t, Setting{"concurrency", "4", "[server.subscriptions.Mailer]"}, mailer["concurrency"])
	require.Equal(t, Setting{"retry_jitter", "0.5", "[server.profiles.careful]"}, mailer["retry_jitter"])
	require.Equal(t, Setting{"messages_per_tick", "500", "profile batch"}, mailer["messages_per_tick"])
	require.Equal(t, Setting{"order", "none", "options of the handler"}, mailer["order"])
	require.Equal(t, Setting{"retry_delay_seconds", "1.5", "options of the handler"}, mailer["retry_delay_seconds"])
	require.Equal(t, Setting{"origin_stream", "shop::order", "options of the handler"}, mailer["origin_stream"])

	audit := origins(handler.Events("shop.Audit", "shop::order"))
	require.Equal(t, Setting{"claim_idle_seconds", "5", `[observatory.handlers."shop.Audit"]`}, audit["claim_idle_seconds"])
	require.Equal(t, Setting{"handler_timeout_seconds", "30", "default of [observatory.handlers]"}, audit["handler_timeout_seconds"])
	require.Equal(t, Setting{"circuit_breaker_threshold", "", "default"}, audit["circuit_breaker_threshold"])
	require.Equal(t, Setting{"dlq_alert_threshold", "", "default"}, audit["dlq_alert_threshold"])

	subscriber := origins(handler.Subscriber("shop.Legacy", "s", nil))
	require.Equal(t, "default", subscriber["messages_per_tick"].Origin)
	require.Equal(t, Setting{"subscription_type", "stream", "handler reads a stream"}, subscriber["subscription_type"])
}
