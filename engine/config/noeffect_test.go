package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withoutEffect are the keys of a subscription that nothing reads.
func withoutEffect() []string {
	var names []string
	for _, r := range settings {
		if r.noEffect != "" {
			names = append(names, r.name)
		}
	}
	return names
}

// A file shall not turn wrong by an upgrade that makes use of it.
func TestAValueWithoutEffectIsCheckedAllTheSame(t *testing.T) {
	t.Parallel()
	for section, keys := range map[string][]string{
		"caches.default":                  {"TTL", "max_connections", "socket_timeout", "socket_connect_timeout", "retry_on_timeout"},
		"event_store":                     {"max_connections"},
		"observatory":                     {"trace_retention_days"},
		"outbox":                          {"external_brokers", "messages_per_tick", "tick_interval", "max_tick_interval"},
		"outbox.retry":                    {"max_attempts", "base_delay_seconds", "max_backoff_seconds", "backoff_multiplier", "jitter", "jitter_factor"},
		"outbox.cleanup":                  {"published_retention_hours", "abandoned_retention_hours", "cleanup_interval_ticks", "batch_size"},
		"server.dlq":                      {"enabled", "retention_hours", "alert_threshold", "check_interval_seconds"},
		"server.health":                   {"port_auto_increment"},
		"server.priority_lanes":           {"enabled", "threshold"},
		"server.version_retry":            {"enabled", "max_retries", "base_delay_seconds", "max_delay_seconds"},
		"server.event_store_subscription": {"max_retries", "retry_delay_seconds", "enable_recovery", "recovery_interval_seconds", "gap_timeout_seconds"},
		"server.subscriptions.X":          withoutEffect(),
	} {
		for _, key := range keys {
			got := mistakes(t, "["+section+"]\n"+key+` = "abc"`)
			require.Len(t, got, 1, "%s %s", section, key)
			require.True(t, strings.HasPrefix(got[0], "domain.toml: ["+section+"] "+key+` = "abc": expected `), got[0])
		}
	}
	for section, keys := range map[string][]string{"outbox": {"broker"}, "server.dlq": {"alert_callback"}, "server.priority_lanes": {"backfill_suffix"}} {
		for _, key := range keys {
			require.Equal(t, []string{"domain.toml: [" + section + "] " + key + " = 3: expected a text"}, mistakes(t, "["+section+"]\n"+key+" = 3"))
		}
	}
}

func TestStartHasNoEffectOnEventStoreSubscriptions(t *testing.T) {
	t.Parallel()
	for file, warned := range map[string]bool{
		"[server.subscriptions.X]\nstart = \"end\"":                                                                             true,
		"[server.subscriptions.X]\nstart = \"beginning\"":                                                                       false,
		"[server.subscriptions.X]\nstart = \"end\"\nsubscription_type = \"stream\"":                                             false,
		"[server.subscriptions.X]\nstart = \"end\"\nprofile = \"fast\"":                                                         false,
		"[server.subscriptions.X]\nstart = \"end\"\nprofile = \"projection\"":                                                   true,
		"[server]\ndefault_subscription_type = \"stream\"\n[server.subscriptions.X]\nstart = \"end\"":                           false,
		"[server]\ndefault_subscription_profile = \"fast\"\n[server.subscriptions.X]\nstart = \"end\"":                          false,
		"[observatory.handlers.X]\nstream = \"s\"\ndeliver = \"log:\"\nstart = \"end\"":                                         false,
		"[server]\ndefault_subscription_type = \"stream\"\n[server.subscriptions.X]\nstart = \"end\"\nprofile = \"projection\"": true,
	} {
		var got []string
		for _, w := range parse(t, file).Warnings {
			got = append(got, w.String())
		}
		if warned {
			require.Equal(t, []string{"[server.subscriptions.X] start: accepted, without effect in this release: an event_store subscription begins at the beginning of its category"}, got, file)
		} else {
			require.Empty(t, got, file)
		}
	}
}

func TestAValueThatIsNoTableIsReportedOnce(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{`domain.toml: outbox = 3: expected a table`, `domain.toml: server = 3: expected a table`},
		mistakes(t, "server = 3\noutbox = 3"))
}
