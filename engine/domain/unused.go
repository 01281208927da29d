package domain

import "strings"

// checkUnused checks the values that have no effect in this release, so that
// the release that uses them finds them right. What only Python can use is left
// to Python.
func checkUnused(root section) {
	server := root.at("server")
	checkDLQ(server.at("dlq"))
	checkLanes(server.at("priority_lanes"))
	checkVersionRetry(server.at("version_retry"))
	checkEventStoreSubscription(server.at("event_store_subscription"))
	checkOutboxValues(root.at("outbox"))
	server.at("health").bool("port_auto_increment")
	root.at("observatory").int("trace_retention_days", 0)
}

func checkDLQ(s section) {
	s.bool("enabled")
	s.int("retention_hours", 1)
	s.int("alert_threshold", 1)
	s.text("alert_callback")
	s.duration("check_interval_seconds", positiveSeconds)
}

func checkLanes(s section) {
	s.bool("enabled")
	s.float("threshold")
	if suffix, ok := s.text("backfill_suffix"); ok && strings.TrimSpace(suffix) == "" {
		s.bad("backfill_suffix", "expected a text that is not blank")
	}
}

func checkVersionRetry(s section) {
	s.bool("enabled")
	s.int("max_retries", 0)
	s.duration("base_delay_seconds", seconds)
	s.duration("max_delay_seconds", seconds)
}

// checkEventStoreSubscription leaves out position_update_interval, which is
// read.
func checkEventStoreSubscription(s section) {
	s.int("max_retries", 0)
	s.duration("retry_delay_seconds", seconds)
	s.bool("enable_recovery")
	s.duration("recovery_interval_seconds", seconds)
	s.duration("gap_timeout_seconds", seconds)
}

func checkOutboxValues(s section) {
	s.text("broker")
	s.texts("external_brokers")
	s.int("messages_per_tick", 1)
	s.duration("tick_interval", seconds)
	s.duration("max_tick_interval", seconds)

	retry := s.at("retry")
	retry.int("max_attempts", 0)
	for _, key := range []string{"base_delay_seconds", "max_backoff_seconds"} {
		retry.duration(key, seconds)
	}
	retry.float("backoff_multiplier")
	retry.bool("jitter")
	retry.number("jitter_factor", 0, 1)

	cleanup := s.at("cleanup")
	for _, key := range []string{"published_retention_hours", "abandoned_retention_hours"} {
		cleanup.int(key, 0)
	}
	for _, key := range []string{"cleanup_interval_ticks", "batch_size"} {
		cleanup.int(key, 1)
	}
}
