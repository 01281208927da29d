package domain

import (
	"maps"
	"slices"
	"strings"
)

// The keys of the sections that are read, here or in Python.
var (
	observatoryKeys = []string{
		"name", "listen_address", "metrics", "shutdown_timeout_seconds", "verify_checksums",
		"trace_retention_days", "handlers",
	}
	handlerKeys = []string{"stream", "types", "deliver", "headers", "group", "format"}

	serverKeys = []string{
		"default_subscription_type", "default_subscription_profile", "messages_per_tick", "tick_interval",
		"stream_subscription", "event_store_subscription", "broker_subscription", "version_retry",
		"transient_retry", "subscriptions", "profiles", "dlq", "health", "priority_lanes", "partitioning",
		"drain_timeout",
	}
	streamKeys = []string{
		"blocking_timeout_ms", "max_retries", "retry_delay_seconds", "enable_dlq",
		"circuit_breaker_threshold", "circuit_breaker_reset_seconds", "retention_maxlen",
	}
	brokerSubscriptionKeys = []string{"max_retries", "retry_delay_seconds", "enable_dlq"}
	eventStoreKeys         = []string{
		"position_update_interval", "max_retries", "retry_delay_seconds", "enable_recovery",
		"recovery_interval_seconds", "gap_timeout_seconds",
	}
	healthKeys = []string{"enabled", "host", "port", "port_auto_increment"}

	// poolKeys may be parameters of a Redis URL as well; there the URL wins.
	poolKeys     = []string{"max_connections", "socket_timeout", "socket_connect_timeout", "retry_on_timeout"}
	brokerKeys   = append([]string{"provider", "URI"}, poolKeys...)
	cacheKeys    = append([]string{"provider", "URI", "TTL"}, poolKeys...)
	databaseKeys = []string{
		"provider", "database_uri", "schema", "managed", "pool_size", "max_overflow", "pool_recycle",
		"pool_pre_ping", "pool_timeout",
	}
	storeKeys = []string{"provider", "database_uri", "max_connections"}

	telemetryKeys = []string{"enabled", "service_name", "exporter", "endpoint", "resource_attributes"}
	loggingKeys   = []string{"level", "format"}
	// loggingPython are the keys of [logging] that are not honoured here.
	loggingPython = []string{
		"backup_count", "http", "log_dir", "log_file_prefix", "max_bytes", "per_logger", "redact", "sampling",
		"slow_handler_threshold_ms", "slow_query_threshold_ms", "slow_query_truncate_chars",
	}
)

// sectionKeys are the keys that a section may have, by its dotted name.
var sectionKeys = map[string][]string{
	"observatory":                     observatoryKeys,
	"server":                          serverKeys,
	"server.stream_subscription":      streamKeys,
	"server.broker_subscription":      brokerSubscriptionKeys,
	"server.event_store_subscription": eventStoreKeys,
	"server.health":                   healthKeys,
	"server.dlq":                      {"enabled", "retention_hours", "alert_threshold", "alert_callback", "check_interval_seconds"},
	"server.priority_lanes":           {"enabled", "threshold", "backfill_suffix"},
	"server.version_retry":            {"enabled", "max_retries", "base_delay_seconds", "max_delay_seconds"},
	"server.transient_retry":          {"enabled", "max_retries", "backoff", "base_delay_seconds", "max_delay_seconds", "exceptions"},
	"server.partitioning":             {"lease_ttl_ms", "heartbeat_interval_seconds", "poll_interval_seconds", "reap_idle_ms"},
	"telemetry":                       telemetryKeys,
	"logging":                         slices.Concat(loggingKeys, loggingPython),
	"event_store":                     storeKeys,
	"outbox":                          {"broker", "external_brokers", "messages_per_tick", "tick_interval", "max_tick_interval", "retry", "cleanup"},
	"outbox.retry":                    {"max_attempts", "base_delay_seconds", "max_backoff_seconds", "backoff_multiplier", "jitter", "jitter_factor"},
	"outbox.cleanup":                  {"published_retention_hours", "abandoned_retention_hours", "cleanup_interval_ticks", "batch_size"},
	"idempotency":                     {"redis_url", "ttl", "error_ttl"},
	"consume_idempotency":             {"cleanup"},
	"consume_idempotency.cleanup":     {"retention_hours", "batch_size"},
}

// warnUnknown warns of every key of a section that nobody reads. Those of
// profiles are errors, and those of the top level are for [misspelt].
func warnUnknown(root section) {
	const nobody = "nobody reads this"
	for _, name := range slices.Sorted(maps.Keys(sectionKeys)) {
		root.find(name).unknown(sectionKeys[name], nobody)
	}
	root.find("brokers").unknownInside(brokerKeys, nobody)
	root.find("caches").unknownInside(cacheKeys, nobody)
	root.find("databases").unknownInside(databaseKeys, "goes to SQLAlchemy alone")
	root.find("server.subscriptions").unknownInside(settingNames(), nobody)
	root.find("observatory.handlers").unknownInside(slices.Concat(settingNames(), handlerKeys), nobody)
}

// find returns a section by its dotted name.
func (s section) find(name string) section {
	for key := range strings.SplitSeq(name, ".") {
		s = s.at(key)
	}
	return s
}

// unknownInside is [section.unknown] for each of the section's tables.
func (s section) unknownInside(known []string, what string) {
	for _, in := range s.tables() {
		in.unknown(known, what)
	}
}
