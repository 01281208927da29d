package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// warnNoEffect warns of a value that asks for something that this release does
// not do. A key of subscriptions is warned of once, however many sections
// repeat it.
func (s section) warnNoEffect(r *row, value any) {
	if r.noEffect == "" || reflect.ValueOf(value).IsZero() {
		return
	}
	if len(r.in) == 1 || s.markReported(r) {
		s.warnNotBuilt(r.name, r.noEffect)
	}
}

func (s section) warnNotBuilt(key, text string) {
	s.warn(CodeNotBuilt, s.name, key, "accepted, without effect in this release: "+text)
}

// warnPython warns of what only Python can use. It stops nothing: one file
// serves both engines.
func warnPython(root section, read map[string]values) {
	for _, key := range []string{"event_processing", "command_processing", "message_processing"} {
		if get[string](read[""], key) == "sync" {
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
	if get[bool](read["server.transient_retry"], "enabled") {
		root.warn(CodePythonOnly, "server.transient_retry", "enabled", "names Python's exceptions; a failed message is tried again by max_retries")
	}
	if server.has("partitioning") {
		root.warn(CodePythonOnly, "server.partitioning", "", "partitioned streams (sequential_by) are not consumed here")
	}
	callback := get[string](read["server.dlq"], "alert_callback")
	if callback != "" && !strings.HasPrefix(callback, "http://") && !strings.HasPrefix(callback, "https://") {
		dlq := server.at("dlq")
		dlq.warn(CodePythonOnly, dlq.name, "alert_callback", "a function of Python, unless a Go program registers one of this name; give an http(s) URL")
	}
	logging := root.at("logging")
	if others := slices.DeleteFunc(logging.keys(), func(key string) bool { return !slices.Contains(loggingPython, key) }); len(others) > 0 {
		logging.warn(CodePythonOnly, logging.name, strings.Join(others, ", "), "only level and format are honoured")
	}
}

// warnNotBuilt warns of the sections that are accepted and have no effect in
// this release; the table of keys says which keys have none.
func warnNotBuilt(root section, read map[string]values) {
	if v := read["telemetry"]; get[string](v, "exporter") == "console" && get[bool](v, "enabled") {
		root.at("telemetry").warnNotBuilt("exporter", `nothing is printed or pushed; "otlp" pushes, and /metrics has all`)
	}
	if v := read["server.event_store_subscription"]; !get[bool](v, "enable_recovery") {
		root.at("server").at("event_store_subscription").warnNotBuilt("enable_recovery", "what failed is always kept and tried again; max_retries = 1 calls each message once")
	}
	if root.has("outbox") {
		root.at("outbox").warnNotBuilt("", "outbox rows are counted, and published by Python's engine alone")
	}
}

// warnPools warns of pools that are smaller than the default, where it matters.
func warnPools(root section, read map[string]values, environment string) {
	if environment == "development" || environment == "testing" {
		return
	}
	for name, database := range root.at("databases").named() {
		v := read[database.name]
		size, given := v.given["pool_size"].(int)
		if given && size < get[int](values{place: v.place}, "pool_size") && plain(database.tree["provider"]) != "memory" {
			database.warn(CodeLowPoolSize, database.name, "", fmt.Sprintf(
				"Database '%s' has pool_size=%d (production default is 5). Consider raising it for production workloads.", name, size))
		}
	}
}
