package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/subscription"
)

// row is one key of a configuration file, and all that is said of it: a new key
// is a new row, and reading, checking, layering, the warnings and the tables of
// docs/configuration.md follow from it.
type row struct {
	// in are the sections where the key may stand, "*" for any name.
	in   []string
	name string
	kind kind
	// defaultValue is the default. Where it is nil, it is the default of the field
	// that the row sets; where that has none either, there is none.
	defaultValue any
	// defaultText is the default on the page, where it is not just the value.
	defaultText string
	// help is the key's meaning, in Markdown. A key without it is in no table of
	// the page.
	help string
	// noEffect says what this release does not do with a value that asks for
	// something: there is a warning then.
	noEffect string

	// The rest is for keys of a subscription.

	// profiles are the values of the built-in profiles, in the order of
	// builtinProfiles; nil where they set none.
	profiles []any
	// handlerDefault is the default for handlers of the file, where it is another.
	handlerDefault any
	// sets is the field that the value goes to, once resolved; nil where nothing
	// in this release reads it.
	sets *field
}

// field is where in a subscription's configuration a value goes.
type field struct {
	set func(*subscription.Config, any)
	// get returns the field's value; nil where it is not one to show.
	get func(*subscription.Config) any
}

// to is the field that a function points at.
func to[T any](at func(*subscription.Config) *T) *field {
	return &field{
		set: func(c *subscription.Config, v any) { *at(c) = v.(T) },
		get: func(c *subscription.Config) any { return *at(c) },
	}
}

// The sections where a key of a subscription may stand. Options are those of a
// handler that a program registers; they are no section of a file.
const (
	inSubscriptions = "server.subscriptions.*"
	inHandlers      = "observatory.handlers.*"
	inProfiles      = "server.profiles.*"
	inOptions       = "options"
)

// ofSubscription are all these sections, and others that a key may stand in.
func ofSubscription(others ...string) []string {
	return append([]string{inSubscriptions, inHandlers, inProfiles, inOptions}, others...)
}

// in is one section.
func in(section string) []string { return []string{section} }

// The columns of [row.profiles].
var builtinProfiles = []string{"production", "fast", "batch", "debug", "projection"}

// table is every key that is read, here or in Python.
var table = slices.Concat(
	topLevelRows, observatoryRows, handlerRows, serverRows, subscriptionRows, notReadRows,
	serverOfRows, telemetryRows, loggingRows,
)

// subscriptionRows are the keys of a subscription.
var subscriptionRows = []row{
	{
		in: []string{inSubscriptions, inHandlers, inOptions}, name: "profile", kind: elsewhere("a profile's name"),
		help: "Not inside a profile.",
	},
	{in: in(inProfiles), name: "inherits", kind: oneOf(slices.Sorted(slices.Values(builtinProfiles))...)},
	{
		in: ofSubscription(), name: "subscription_type", kind: oneOf(string(TypeStream), string(TypeEventStore)),
		defaultValue: string(TypeEventStore), defaultText: "see `[server]`",
		profiles: inProfileOrder("stream", "stream", "stream", "stream", "event_store"),
		help: "A stream of a broker, or a category of the event store; for a handler of the file `stream` is then the category, or `$all`. " +
			"Handlers of the file are `stream` unless they or their section say otherwise.",
	},
	{
		in: ofSubscription("server"), name: "messages_per_tick", kind: whole(1, many),
		profiles: inProfileOrder(100, 10, 500, 1, 100),
		sets:     to(func(c *subscription.Config) *int { return &c.MessagesPerTick }),
		help:     "Entries that one read takes. At most ten times as many may be unsettled before reading stops.",
	},
	{
		in: ofSubscription("server"), name: "tick_interval", kind: seconds,
		profiles: inProfileOrder(0*time.Second, 0*time.Second, 0*time.Second, time.Second, 0*time.Second),
		sets:     to(func(c *subscription.Config) *time.Duration { return &c.TickInterval }),
		help:     "A pause after each read.",
	},
	{
		in: ofSubscription("server.stream_subscription"), name: "blocking_timeout_ms", kind: positiveMillis,
		profiles: inProfileOrder(5*time.Second, 100*time.Millisecond, 10*time.Second, time.Second, 5*time.Second),
		sets:     to(func(c *subscription.Config) *time.Duration { return &c.BlockingTimeout }),
		help:     "How long a read waits for entries. Waits are cut into pieces of one second, so that stopping is prompt.",
	},
	{
		in: ofSubscription("server.stream_subscription", "server.event_store_subscription", "server.broker_subscription"), name: "max_retries", kind: whole(0, million),
		defaultValue: 3, profiles: inProfileOrder(3, 2, 5, 1, 3),
		sets: to(func(c *subscription.Config) *int { return &c.Retry.MaxAttempts }),
		help: "Attempts **in all**: 0 and 1 both mean one.",
	},
	{
		in: ofSubscription("server.stream_subscription", "server.event_store_subscription", "server.broker_subscription"), name: "retry_delay_seconds", kind: seconds,
		defaultValue: time.Second, profiles: inProfileOrder(time.Second, 0*time.Second, 2*time.Second, 0*time.Second, time.Second),
		sets: to(func(c *subscription.Config) *time.Duration { return &c.Retry.Delay }),
		help: "The wait before the second attempt.",
	},
	{
		in: ofSubscription(), name: "retry_backoff_multiplier", kind: number("number, 1 to 1000", 1, 1000),
		sets: to(func(c *subscription.Config) *float64 { return &c.Retry.Multiplier }),
		help: "Times this for each later attempt.",
	},
	{
		in: ofSubscription(), name: "retry_max_delay_seconds", kind: seconds,
		sets: to(func(c *subscription.Config) *time.Duration { return &c.Retry.MaxDelay }),
		help: "Cap of the delay; 0 is none.",
	},
	{
		in: ofSubscription(), name: "retry_jitter", kind: number("0 to 1", 0, 1),
		sets: to(func(c *subscription.Config) *float64 { return &c.Retry.Jitter }),
		help: "Adds up to this part of the delay, at random.",
	},
	{
		in: ofSubscription("server.stream_subscription", "server.broker_subscription"), name: "enable_dlq", kind: boolean,
		defaultValue: true, profiles: inProfileOrder(true, true, true, false, false),
		sets: to(func(c *subscription.Config) *bool { return &c.DeadLetters }),
		help: "`false` discards what is given up on, with a line in the log.",
	},
	{
		in: ofSubscription(), name: "order", kind: filledText("`stream`, `none`, or a field's name"),
		sets: to(func(c *subscription.Config) *string { return &c.Order }),
		help: "What must not overtake: messages of one `headers.stream` (one aggregate), nothing, " +
			"or messages with the same value of that payload field. A failing message holds back only those. With `format = \"fields\"` or " +
			"`\"object\"` there is no aggregate: `stream` keeps no order there, name a field for one.",
	},
	{
		in: ofSubscription(), name: "concurrency", kind: whole(1, many),
		sets: to(func(c *subscription.Config) *int { return &c.Concurrency }),
		help: "Handlers side by side, under the same rule of order.",
	},
	{
		in: ofSubscription(), name: "handler_timeout_seconds", kind: positiveSeconds,
		handlerDefault: 30 * time.Second, defaultText: "`300`; `30` for handlers of the file",
		sets: to(func(c *subscription.Config) *time.Duration { return &c.HandlerTimeout }),
		help: "Ends the context of an attempt, which then has failed.",
	},
	{
		in: ofSubscription(), name: "claim_idle_seconds", kind: positiveSeconds,
		sets: to(func(c *subscription.Config) *time.Duration { return &c.ClaimIdle }),
		help: "How long a consumer neither reads nor acknowledges before other engines of the group take over what it left. Entries in flight are renewed every third of it. It must be longer than a call of a Python consumer of the same group.",
	},
	{
		in: ofSubscription(), name: "start", kind: oneOf("beginning", "end"), defaultValue: "beginning",
		sets: &field{set: func(c *subscription.Config, v any) { c.FromEnd = v == "end" }},
		help: "Where a group begins that does not exist yet.",
	},
	{
		in: ofSubscription(), name: "origin_stream", kind: text,
		sets: &field{set: func(c *subscription.Config, v any) { c.OriginStream = v.(string) }},
		help: "Keeps only messages whose origin stream is of this category; others are acknowledged and counted as `skipped`.",
	},
	{
		in: ofSubscription("server.event_store_subscription"), name: "position_update_interval", kind: whole(1, million),
		defaultValue: 10, profiles: inProfileOrder(10, 5, 50, 1, 10),
		sets: to(func(c *subscription.Config) *int { return &c.PositionInterval }),
		help: "Of event-store subscriptions: after how many messages the position is saved. It is saved each second too, and at a stop.",
	},
	{
		in: ofSubscription("server.stream_subscription"), name: "circuit_breaker_threshold", kind: whole(1, million), defaultText: "none",
		sets: &field{set: func(c *subscription.Config, v any) { c.BreakerThreshold = v.(int) }},
		help: "How many messages in a row must fail for the [circuit breaker](operations.md#circuit-breaker) to open. A message counts once, " +
			"however often it is attempted.",
	},
	{
		in: ofSubscription("server.stream_subscription"), name: "circuit_breaker_reset_seconds", kind: positiveSeconds,
		sets: to(func(c *subscription.Config) *time.Duration { return &c.BreakerReset }),
		help: "How long an open circuit breaker calls nothing before it tries one message.",
	},
	{
		in: ofSubscription("server.stream_subscription"), name: "retention_maxlen", kind: whole(1, most32),
		sets: &field{set: func(c *subscription.Config, v any) { c.RetentionMaxLen = v.(int) }},
		help: "Trims the stream to so many entries. What some group of it has not acknowledged is never removed: " +
			"see [retention](operations.md#streams-grow). Not of event-store subscriptions.",
	},
	{
		in: ofSubscription(), name: "dlq_retention_hours", kind: whole(1, million),
		defaultText: "that of `[server.dlq]`",
		sets:        &field{set: func(c *subscription.Config, v any) { c.DeadLetterRetention = time.Duration(v.(int)) * time.Hour }},
		help:        "How long the stream's dead letters are kept, where `[server.dlq]` is enabled. Of several handlers of a stream the longest holds.",
	},
	{
		in: ofSubscription(), name: "dlq_alert_threshold", kind: whole(1, most32),
		defaultText: "that of `[server.dlq]`",
		sets:        &field{set: func(c *subscription.Config, v any) { c.DeadLetterThreshold = v.(int) }},
		help:        "From how many dead letters on there are alerts, where `[server.dlq]` is enabled. Of several handlers of a stream the lowest holds.",
	},
}

// inProfileOrder is a row's values in the built-in profiles.
func inProfileOrder(production, fast, batch, debug, projection any) []any {
	return []any{production, fast, batch, debug, projection}
}

// observatoryRows are the keys of [observatory].
var observatoryRows = []row{
	{
		in: in("observatory"), name: "name", kind: text, defaultText: "see below",
		help: "The domain's name: the label `domain` of every metric, and `urn:protean:<name>` as the source of events.",
	},
	{
		in: in("observatory"), name: "listen_address", kind: hostPort, defaultValue: "127.0.0.1:9000",
		help: "Where `/metrics` is served; not on the port of `[server.health]`. `--web.listen-address` wins.",
	},
	{
		in: in("observatory"), name: "metrics", kind: boolean, defaultValue: true,
		help: "`false` makes every counter and histogram a no-op. Gauges of the servers stay.",
	},
	{
		in: in("observatory"), name: "shutdown_timeout_seconds", kind: seconds, defaultValue: 10 * time.Second,
		defaultText: "`drain_timeout` of `[server]`, else `10`",
		help:        "How long handlers under way get at a stop. 0 means 10.",
	},
	{
		in: in("observatory"), name: "max_inflight_bytes", kind: bytes(1<<20, 1<<50), defaultValue: int64(subscription.DefaultMaxInflightBytes),
		help: "How many bytes of messages all subscriptions together may have read and not settled. Reading waits above it.",
	},
	{
		in: in("observatory"), name: "verify_checksums", kind: boolean, defaultValue: true,
		help: "`false` takes payloads as they come.",
	},
	{
		in: in("observatory"), name: "token", kind: filledText("text"), defaultText: "none",
		help: "What lets a request from another machine drain the engine (`POST /drainz` with `Authorization: Bearer <token>`), as `\"${file:/run/secrets/token}\"`. Without it only requests from this machine may.",
	},
	{
		in: in("observatory"), name: "handlers", kind: elsewhere("tables"),
		help: "See the next section.",
	},
	{
		in: in("observatory"), name: "alert_repeat_seconds", kind: positiveSeconds, defaultValue: time.Hour,
		help: "After how long `[server.dlq]` tells again of a queue that stays above its threshold.",
	},
	{in: in("observatory"), name: "trace_retention_days", kind: whole(0, million), noEffect: "no trace events are written"},
}

// handlerRows are the keys of [observatory.handlers.<name>] that are no
// subscription's.
var handlerRows = []row{
	{
		in: in(inHandlers), name: "stream", kind: elsewhere("text"), defaultText: "required",
		help: "The stream to read.",
	},
	{
		in: in(inHandlers), name: "broker", kind: filledText("text"), defaultText: "`default`",
		help: "The broker that has the stream, of `[brokers]`: another system's own, say.",
	},
	{
		in: in(inHandlers), name: "deliver", kind: elsewhere("text"), defaultText: "required",
		help: "`http://…` or `https://…` (user-info in it becomes basic authentication), or `log:`.",
	},
	{
		in: in(inHandlers), name: "types", kind: texts, defaultText: "all types",
		help: "The message types to deliver; others are acknowledged and counted as `skipped`. Only with `format = \"envelope\"`.",
	},
	{
		in: in(inHandlers), name: "headers", kind: elsewhere("table of texts"),
		help: "HTTP headers of each request. Errors are those that belong to the event (`Content-Type`, `ce-*`, `traceparent`, `tracestate`) and " +
			"those that say how a request is written (`Content-Length`, `Transfer-Encoding`, `Trailer`).",
	},
	{
		in: in(inHandlers), name: "group", kind: filledText("text"), defaultText: "the handler's name",
		help: "The consumer group.",
	},
	{
		in: in(inHandlers), name: "format", kind: oneOf(slices.Sorted(maps.Keys(formats))...), defaultValue: "envelope",
		help: "How entries are read, see below.",
	},
}

// serverRows are the keys of [server] and of its tables that have an effect and
// are no subscription's.
var serverRows = []row{
	{
		in: in("server"), name: "default_subscription_type", kind: oneOf(string(TypeStream), string(TypeEventStore)),
		defaultText: "`event_store`, as in Protean",
		help:        "What handlers in Go read. Handlers of the file read streams unless they say `subscription_type = \"event_store\"` themselves.",
	},
	{
		in: in("server"), name: "default_subscription_profile", kind: elsewhere("a profile's name"),
		help: "The [profile](#profiles) below everything that the file itself sets.",
	},
	{
		in: in("server"), name: "drain_timeout", kind: seconds, defaultText: "none",
		help: "Seconds. Protean's name for `shutdown_timeout_seconds` of `[observatory]`, and its default where it is set.",
	},
	{
		in: in("server.dlq"), name: "enabled", kind: boolean, defaultValue: false,
		help: "Trims and watches the dead-letter queues of the handlers' streams, see [dead letters](operations.md#dead-letters).",
	},
	{
		in: in("server.dlq"), name: "retention_hours", kind: whole(1, million), defaultValue: 168,
		help: "Dead letters that came into their queue longer ago are deleted. They are lost.",
	},
	{
		in: in("server.dlq"), name: "alert_threshold", kind: whole(1, most32), defaultValue: 100,
		help: "From this depth on there are alerts.",
	},
	{
		in: in("server.dlq"), name: "alert_callback", kind: text, defaultText: "none",
		help: "Is told of a queue that has crossed its threshold: an http(s) URL, which gets `{\"dlq_stream\", \"depth\", \"threshold\"}` by POST, or a function " +
			"that a Go program registers by this name.",
	},
	{
		in: in("server.dlq"), name: "check_interval_seconds", kind: positiveSeconds, defaultValue: time.Minute,
		help: "The time between two cycles. The first is at the start.",
	},
	{
		in: in("server.health"), name: "enabled", kind: boolean, defaultValue: true,
		help: "Serves `/livez`, `/healthz` and `/readyz`.",
	},
	{
		in: in("server.health"), name: "host", kind: host, defaultValue: "0.0.0.0",
		help: "The host or IP address to listen on, without a port.",
	},
	{
		in: in("server.health"), name: "port", kind: port, defaultValue: 8080,
		help: "0 takes a free one. `--health.listen-address` wins over both.",
	},
	{in: in("server.health"), name: "port_auto_increment", kind: boolean, noEffect: "a port in use is an error"},
	{
		in: in("server.priority_lanes"), name: "enabled", kind: boolean, defaultValue: false,
		help: "Reads a backfill lane beside each stream of events, commands and projections.",
	},
	{
		in: in("server.priority_lanes"), name: "threshold", kind: anyNumber, defaultText: "`0`",
		help: "Messages of a lower priority are published to the backfill lane: by Protean's outbox, in this release. Reading needs no threshold.",
	},
	{
		in: in("server.priority_lanes"), name: "backfill_suffix", kind: notBlank, defaultValue: "backfill",
		help: "The lane of the stream `shop::order` is `shop::order:backfill`. Not `dlq` or `command`.",
	},
}

// poolRows may be parameters of a Redis URL as well; there the URL wins.
var poolRows = []row{
	{
		in: []string{"brokers.*", "caches.*"}, name: "max_connections", kind: whole(1, many), defaultText: "`100`",
		help: "The cap of all connections but one: half for reads that wait, half for everything else. One more is kept for health checks and the collector.",
	},
	{
		in: []string{"brokers.*", "caches.*"}, name: "socket_timeout", kind: positiveSeconds, defaultText: "`5`",
		help: "How long a command waits for its reply.",
	},
	{
		in: []string{"brokers.*", "caches.*"}, name: "socket_connect_timeout", kind: positiveSeconds, defaultText: "`5`",
		help: "How long a new connection may take.",
	},
	{
		in: []string{"brokers.*", "caches.*"}, name: "retry_on_timeout", kind: boolean, defaultValue: false,
		help: "Sends a publication, or the creation of a group, once more if it timed out. Reads and acknowledgements never are.",
	},
}

// serverOfRows are the keys of brokers, databases, caches and the event store.
var serverOfRows = slices.Concat([]row{
	{
		in: in("brokers.*"), name: "provider", kind: oneOf("redis", "redis_pubsub", "inline"), defaultValue: "inline",
		help: "`inline` is in memory. `redis_pubsub` (lists) is not opened, with a warning.",
	},
	{
		in: in("brokers.*"), name: "URI", kind: elsewhere("URL"), defaultText: "required for `redis`",
		help: "`redis://`, `unix://`, `redis+sentinel://` or `redis+cluster://`, with user, password and database; `rediss` in the place of `redis` for TLS. Mind the capitals.",
	},
}, poolRows, []row{
	{
		in: in("databases.*"), name: "provider", kind: oneOf("memory", "postgresql", "sqlite", "mssql", "elasticsearch"), defaultValue: "memory",
		help: "Where the data lives.",
	},
	{
		in: in("databases.*"), name: "database_uri", kind: elsewhere("URL"), defaultText: "required but for `memory`",
		help: "As SQLAlchemy takes it (`postgresql+psycopg2://…`) or libpq.",
	},
	{
		in: in("databases.*"), name: "schema", kind: text, defaultText: "`public`; `dbo` for `mssql`",
		help: "Where the outbox table is looked for.",
	},
	{
		in: in("databases.*"), name: "managed", kind: boolean, defaultValue: true,
		help: "Whether tables are ours; read, and without effect in this release.",
	},
	{
		in: in("databases.*"), name: "pool_size", kind: poolSize, defaultValue: 5,
		help: "Connections that stay open. SQLAlchemy's 0 (no limit) is an error: `max_overflow = -1` is that. " +
			"Fewer than 5 is the warning `LOW_POOL_SIZE`, unless `PROTEAN_ENV` is `development` or `testing`.",
	},
	{
		in: in("databases.*"), name: "max_overflow", kind: whole(-1, many), defaultValue: 10,
		help: "How many more open under load; -1 is no limit.",
	},
	{
		in: in("databases.*"), name: "pool_timeout", kind: positiveSeconds, defaultValue: 30 * time.Second,
		help: "How long to wait for a connection.",
	},
	{
		in: in("databases.*"), name: "pool_recycle", kind: recycle,
		help: "The greatest age of a connection; 0 and -1 are no limit.",
	},
	{
		in: in("databases.*"), name: "pool_pre_ping", kind: boolean, defaultValue: true,
		help: "Tests a connection before use.",
	},

	{in: in("caches.*"), name: "provider", kind: oneOf("memory", "redis"), defaultValue: "memory"},
	{in: in("caches.*"), name: "URI", kind: elsewhere("URL")},
	{in: in("caches.*"), name: "TTL", kind: seconds},
	{
		in: in("event_store"), name: "provider", kind: oneOf("memory", "message_db"), defaultValue: "memory",
		help: "`message_db` is Message-DB, in PostgreSQL. A store in memory is passed by the program that fills it.",
	},
	{
		in: in("event_store"), name: "database_uri", kind: elsewhere("URL"), defaultText: "required for `message_db`",
		help: "As SQLAlchemy takes it (`postgresql+psycopg2://…`) or libpq. It must lead to PostgreSQL itself: behind a pooler that shares sessions no process can own a subscription.",
	},
	{
		in: in("event_store"), name: "max_connections", kind: whole(1, many), defaultText: "`100`",
		help: "The cap of all connections but two: one for health checks and the collector, one for the ownership of subscriptions.",
	},
})

// telemetryRows are the keys of [telemetry].
var telemetryRows = []row{
	{
		in: in("telemetry"), name: "enabled", kind: boolean, defaultValue: false,
		help: "Pushes metrics.",
	},
	{
		in: in("telemetry"), name: "exporter", kind: oneOf("otlp", "console"), defaultValue: "otlp",
		help: "`console` is Python's; nothing is pushed then, with a warning.",
	},
	{
		in: in("telemetry"), name: "endpoint", kind: endpoint, defaultText: "the exporter's: `localhost:4317` by TLS",
		help: "`http` is in the clear, anything else is TLS.",
	},
	{
		in: in("telemetry"), name: "service_name", kind: text, defaultText: "the domain's name",
		help: "The attribute `service.name` of what is pushed.",
	},
	{
		in: in("telemetry"), name: "resource_attributes", kind: elsewhere("table"),
		help: "Further attributes of what is pushed.",
	},
}

// loggingRows are the keys of [logging]: those that are honoured, and Python's.
var loggingRows = append([]row{
	{
		in: in("logging"), name: "level", kind: level, defaultText: "`INFO`",
		help: "`--log.level` wins.",
	},
	{
		in: in("logging"), name: "format", kind: oneOf(logFormats...), defaultValue: "auto",
		help: "`auto` is text on a terminal and JSON elsewhere. `--log.format` wins.",
	},
}, unreadIn("logging", loggingPython...)...)

// loggingPython are the keys of [logging] that are not honoured here.
var loggingPython = []string{
	"backup_count", "http", "log_dir", "log_file_prefix", "max_bytes", "per_logger", "redact", "sampling",
	"slow_handler_threshold_ms", "slow_query_threshold_ms", "slow_query_truncate_chars",
}

// topLevelRows are the keys that stand in no section. Other names there are
// dropped, as in Python: the tables of environments stand beside them.
var topLevelRows = append([]row{
	{
		in: in(""), name: "source_uri", kind: uri, defaultText: "`urn:protean:<domain>`",
		help: "The `source` of CloudEvents.",
	},
	{
		in: in(""), name: "enable_outbox", kind: boolean, defaultValue: false,
		help: "An error together with event-store subscriptions, as in Protean; else without effect.",
	},
	{in: in(""), name: "event_processing", kind: oneOf("sync", "async")},
	{in: in(""), name: "command_processing", kind: oneOf("sync", "async")},
	{in: in(""), name: "message_processing", kind: oneOf("sync", "async")},
}, unreadIn("",
	"command_default_timeout", "custom", "debug", "email_providers", "env", "field_defaults", "identity_strategy", "identity_type",
	"lenient_deserialization", "lint", "secret_key", "snapshot_threshold", "testing",
)...)

// notReadRows are keys that nothing in this release reads. Their values are
// checked all the same, so that the release that reads them finds them right;
// those that only Python can use are left to Python.
var notReadRows = slices.Concat([]row{
	{in: in("server.event_store_subscription"), name: "enable_recovery", kind: boolean, defaultValue: true},
	{
		in: in("server.event_store_subscription"), name: "recovery_interval_seconds", kind: seconds,
		noEffect: "what failed is tried again after retry_delay_seconds",
	},
	{in: in("server.event_store_subscription"), name: "gap_timeout_seconds", kind: positiveSeconds, defaultValue: 5 * time.Second},

	{in: in("server.version_retry"), name: "enabled", kind: boolean},
	{in: in("server.version_retry"), name: "max_retries", kind: whole(0, million)},
	{in: in("server.version_retry"), name: "base_delay_seconds", kind: seconds},
	{in: in("server.version_retry"), name: "max_delay_seconds", kind: seconds},

	{in: in("server.transient_retry"), name: "enabled", kind: boolean},

	{in: in("outbox"), name: "broker", kind: text},
	{in: in("outbox"), name: "external_brokers", kind: texts},
	{in: in("outbox"), name: "messages_per_tick", kind: whole(1, many)},
	{in: in("outbox"), name: "tick_interval", kind: seconds},
	{in: in("outbox"), name: "max_tick_interval", kind: seconds},
	{in: in("outbox.retry"), name: "max_attempts", kind: whole(0, million)},
	{in: in("outbox.retry"), name: "base_delay_seconds", kind: seconds},
	{in: in("outbox.retry"), name: "max_backoff_seconds", kind: seconds},
	{in: in("outbox.retry"), name: "backoff_multiplier", kind: anyNumber},
	{in: in("outbox.retry"), name: "jitter", kind: boolean},
	{in: in("outbox.retry"), name: "jitter_factor", kind: number("0 to 1", 0, 1)},
	{in: in("outbox.cleanup"), name: "published_retention_hours", kind: whole(0, million)},
	{in: in("outbox.cleanup"), name: "abandoned_retention_hours", kind: whole(0, million)},
	{in: in("outbox.cleanup"), name: "cleanup_interval_ticks", kind: whole(1, million)},
	{in: in("outbox.cleanup"), name: "batch_size", kind: whole(1, million)},
},
	unreadIn("server.transient_retry", "max_retries", "backoff", "base_delay_seconds", "max_delay_seconds", "exceptions"),
	unreadIn("server.partitioning", "lease_ttl_ms", "heartbeat_interval_seconds", "poll_interval_seconds", "reap_idle_ms"),
	unreadIn("idempotency", "redis_url", "ttl", "error_ttl"),
	unreadIn("consume_idempotency.cleanup", "retention_hours", "batch_size"),
)

// unreadIn are keys of a section that only Python can use.
func unreadIn(section string, names ...string) []row {
	all := make([]row, len(names))
	for i, name := range names {
		all[i] = row{in: in(section), name: name, kind: unread}
	}
	return all
}

// place is one section of the table: the keys that may stand there, and the
// names of the tables inside.
type place struct {
	pattern string
	rows    map[string]*row
	names   []string // of both, keys first
	anyName bool     // the tables inside have names of the file's own
}

// places is the table by section; every section above another is one.
var places = func() map[string]*place {
	all := map[string]*place{}
	at := func(pattern string) *place {
		if all[pattern] == nil {
			all[pattern] = &place{pattern: pattern, rows: map[string]*row{}}
		}
		return all[pattern]
	}
	defaults := subscription.Config{}.WithDefaults()
	for i := range table {
		r := &table[i]
		if r.defaultValue == nil && r.sets != nil && r.sets.get != nil {
			r.defaultValue = r.sets.get(&defaults)
		}
		for _, pattern := range r.in {
			p := at(pattern)
			p.rows[r.name], p.names = r, append(p.names, r.name)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(all)) {
		for pattern != "" && pattern != inOptions {
			above, name := "", pattern
			if i := strings.LastIndexByte(pattern, '.'); i >= 0 {
				above, name = pattern[:i], pattern[i+1:]
			}
			p := at(above)
			switch {
			case name == "*":
				p.anyName = true
			case !slices.Contains(p.names, name):
				p.names = append(p.names, name)
			}
			pattern = above
		}
	}
	return all
}()

// settings are the rows of a subscription, in the order of the table.
var settings = func() []*row {
	var all []*row
	for i := range table {
		if slices.Contains(table[i].in, inSubscriptions) && table[i].name != "profile" {
			all = append(all, &table[i])
		}
	}
	return all
}()
