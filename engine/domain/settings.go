package domain

import (
	"maps"
	"math"
	"slices"

	"github.com/observatory-go/observatory/engine/subscription"
)

// settingKeys are the keys of a subscription, wherever they may stand: in its
// section, in a profile, in a handler's options. Each reads its own value.
var settingKeys = map[string]func(section, string, *subscription.Settings){
	"subscription_type": func(s section, k string, to *subscription.Settings) {
		if name, ok := s.oneOf(k, string(subscription.TypeStream), string(subscription.TypeEventStore)); ok {
			to.Type = new(subscription.Type(name))
		}
	},
	"messages_per_tick": func(s section, k string, to *subscription.Settings) { to.MessagesPerTick = s.int(k, 1) },
	"tick_interval":     func(s section, k string, to *subscription.Settings) { to.TickInterval = s.duration(k, seconds) },
	"blocking_timeout_ms": func(s section, k string, to *subscription.Settings) {
		to.BlockingTimeout = s.duration(k, positiveMillis)
	},
	"max_retries":              func(s section, k string, to *subscription.Settings) { to.MaxRetries = s.int(k, 0) },
	"retry_delay_seconds":      func(s section, k string, to *subscription.Settings) { to.RetryDelay = s.duration(k, seconds) },
	"enable_dlq":               func(s section, k string, to *subscription.Settings) { to.EnableDLQ = s.bool(k) },
	"position_update_interval": func(s section, k string, to *subscription.Settings) { to.PositionInterval = s.int(k, 1) },
	"origin_stream":            func(s section, k string, to *subscription.Settings) { to.OriginStream = s.filled(k) },
	"dlq_retention_hours":      func(s section, k string, to *subscription.Settings) { to.DLQRetentionHours = s.int(k, 1) },
	"dlq_alert_threshold":      func(s section, k string, to *subscription.Settings) { to.DLQAlertThreshold = s.int(k, 1) },
	"circuit_breaker_threshold": func(s section, k string, to *subscription.Settings) {
		to.BreakerThreshold = s.int(k, 1)
	},
	"circuit_breaker_reset_seconds": func(s section, k string, to *subscription.Settings) {
		to.BreakerReset = s.duration(k, positiveSeconds)
	},
	"retention_maxlen": func(s section, k string, to *subscription.Settings) { to.RetentionMaxLen = s.int(k, 1) },

	// Those that only we read.
	"order":       func(s section, k string, to *subscription.Settings) { to.Order = s.filled(k) },
	"concurrency": func(s section, k string, to *subscription.Settings) { to.Concurrency = s.int(k, 1) },
	"handler_timeout_seconds": func(s section, k string, to *subscription.Settings) {
		to.HandlerTimeout = s.duration(k, positiveSeconds)
	},
	"retry_backoff_multiplier": func(s section, k string, to *subscription.Settings) {
		to.RetryMultiplier = s.number(k, 1, math.MaxInt32)
	},
	"retry_max_delay_seconds": func(s section, k string, to *subscription.Settings) { to.RetryMaxDelay = s.duration(k, seconds) },
	"retry_jitter":            func(s section, k string, to *subscription.Settings) { to.RetryJitter = s.number(k, 0, 1) },
	"start": func(s section, k string, to *subscription.Settings) {
		if where, ok := s.oneOf(k, "beginning", "end"); ok {
			to.StartAtEnd = new(where == "end")
		}
	},
	"claim_idle_seconds": func(s section, k string, to *subscription.Settings) {
		to.ClaimIdle = s.duration(k, positiveSeconds)
	},
}

// layer is what one place says of a subscription: the profile it names, and
// what it sets itself.
type layer struct {
	profile string
	own     subscription.Settings
}

// settings reads the keys of a subscription that the section has.
func (s section) settings() subscription.Settings {
	var set subscription.Settings
	for _, key := range s.keys() {
		if read, ok := settingKeys[key]; ok {
			read(s, key, &set)
		}
	}
	return set
}

// layer reads a whole section of a subscription.
func (s section) layer(profiles map[string]subscription.Settings) layer {
	return layer{profile: s.profile("profile", profiles), own: s.settings()}
}

// settingNames are all keys that a subscription's section may have.
func settingNames() []string { return append(slices.Sorted(maps.Keys(settingKeys)), "profile") }
