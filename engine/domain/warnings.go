package domain

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// warnPython says what only Python can use. It stops nothing: one file serves
// both engines.
func warnPython(root section) {
	for _, key := range []string{"event_processing", "command_processing", "message_processing"} {
		if mode, _ := root.oneOf(key, "sync", "async"); mode == "sync" {
			root.warn(CodePythonOnly, "", key, `"sync" handles messages inside Python's own process; this engine handles them from their streams`)
		}
	}
	if root.at("idempotency").has("redis_url") {
		root.warn(CodePythonOnly, "idempotency", "", "commands are not deduplicated here")
	}
	if root.has("consume_idempotency") {
		root.warn(CodePythonOnly, "consume_idempotency", "", "handled messages are not remembered here")
	}
	server := root.at("server")
	if or(server.at("transient_retry").bool("enabled"), false) {
		root.warn(CodePythonOnly, "server.transient_retry", "enabled", "names Python's exceptions; a failed message is tried again by max_retries")
	}
	if server.has("partitioning") {
		root.warn(CodePythonOnly, "server.partitioning", "", "partitioned streams (sequential_by) are not consumed here")
	}
	if server.has("drain_timeout") {
		root.warn(CodePythonOnly, "server", "drain_timeout", "use [observatory] shutdown_timeout_seconds")
	}
	warnCallback(server.at("dlq"))
	warnLogging(root.at("logging"))
}

func warnCallback(s section) {
	callback, ok := s.text("alert_callback")
	if ok && callback != "" && !strings.HasPrefix(callback, "http://") && !strings.HasPrefix(callback, "https://") {
		s.warn(CodePythonOnly, s.name, "alert_callback", s.shown("alert_callback")+" is a function of Python; give an http(s) URL")
	}
}

// warnLogging names the keys of [logging] that are not honoured, in one warning.
func warnLogging(s section) {
	others := slices.DeleteFunc(s.keys(), func(key string) bool { return !slices.Contains(loggingPython, key) })
	if len(others) > 0 {
		s.warn(CodePythonOnly, s.name, strings.Join(others, ", "), "only level and format are honoured")
	}
}

// warnNotBuilt says what is accepted and has no effect in this release.
func warnNotBuilt(root section) {
	server := root.at("server")
	warnSettings(server.at("stream_subscription"))
	for _, parent := range []section{server.at("subscriptions"), server.at("profiles"), root.at("observatory").at("handlers")} {
		for _, s := range parent.tables() {
			warnSettings(s)
		}
	}
	if lanes := server.at("priority_lanes"); or(lanes.bool("enabled"), false) {
		lanes.notBuilt("enabled", "backfill lanes are not read")
	}
	if dlq := server.at("dlq"); or(dlq.bool("enabled"), false) {
		dlq.notBuilt("enabled", "dead-letter queues are neither trimmed nor watched; their depth is a metric")
	}
	if health := server.at("health"); or(health.bool("port_auto_increment"), false) {
		health.notBuilt("port_auto_increment", "a port in use is an error")
	}
	if o := root.at("observatory"); or(o.int("trace_retention_days", 0), 0) > 0 {
		o.notBuilt("trace_retention_days", "no trace events are written")
	}
	warnTelemetry(root.at("telemetry"))
	if root.has("outbox") {
		root.at("outbox").notBuilt("", "outbox rows are counted, and published by Python's engine alone")
	}
}

// warnTelemetry says that figures go nowhere although they are asked for.
func warnTelemetry(s section) {
	if name, _ := s.oneOf("exporter", exporters...); name == "console" && or(s.bool("enabled"), false) {
		s.notBuilt("exporter", `nothing is printed or pushed; "otlp" pushes, and /metrics has all`)
	}
}

// settingsNotBuilt are the keys of a subscription that have no effect yet.
var settingsNotBuilt = map[string]string{
	"circuit_breaker_threshold": "there is no circuit breaker",
	"retention_maxlen":          "streams are not trimmed",
	"dlq_retention_hours":       "dead-letter queues are not trimmed",
	"dlq_alert_threshold":       "dead-letter queues are not watched; their depth is a metric",
	"claim_idle_seconds":        "entries of engines that were killed are not taken over",
}

func warnSettings(s section) {
	for _, key := range s.keys() {
		if text, ok := settingsNotBuilt[key]; ok && s.has(key) {
			s.notBuilt(key, text)
		}
	}
}

func (s section) notBuilt(key, text string) {
	s.warn(CodeNotBuilt, s.name, key, "accepted, without effect in this release: "+text)
}

// warnPools says which pools are smaller than the default, where it matters.
func warnPools(s section, environment string) {
	if environment == "development" || environment == "testing" {
		return
	}
	named := s.named()
	for _, name := range slices.Sorted(maps.Keys(named)) {
		in := named[name]
		size, ok := wholeNumber(plain(in.tree["pool_size"]))
		if ok && size >= 1 && size < 5 && plain(in.tree["provider"]) != "memory" {
			in.warn(CodeLowPoolSize, in.name, "", fmt.Sprintf(
				"Database '%s' has pool_size=%d (production default is 5). Consider raising it for production workloads.", name, size))
		}
	}
}

func wholeNumber(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}
