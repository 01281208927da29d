package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryMistakeOfAFileIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	const file = `
enable_outbox = true
source_uri = 5
[brokers.default]
provider = "reddis"
[brokers.other]
provider = "redis"
[databases.default]
provider = "postgresql"
database_uri = "mysql://root:hunter2@db/shop"
pool_size = "many"
[caches]
default = 3
[server]
default_subscription_type = "streams"
default_subscription_profile = "fsat"
[server.health]
port = 70000
[server.priority_lanes]
backfill_suffix = " "
[server.subscriptions.OrderProjector]
messages_per_tick = 2.5
retry_jitter = 2
blocking_timeout_ms = 0
[server.profiles.steady]
colour = "red"
max_retrys = 3
[observatory]
listen_address = "9000"
max_inflight_bytes = "1000"
metrics = "yes"
`
	require.Equal(t, []string{
		`domain.toml: enable_outbox = true: expected false, or [server] default_subscription_type = "stream": event_store subscriptions do not read what an outbox publishes`,
		`domain.toml: source_uri = 5: expected a text`,
		`domain.toml: [brokers.default] URI: is missing: expected the server's URL, such as redis://127.0.0.1:6379/0`,
		`domain.toml: [brokers.default] provider = "reddis": expected one of redis, redis_pubsub, inline; did you mean "redis"?`,
		`domain.toml: [brokers.other] URI: is missing: expected the server's URL, such as redis://127.0.0.1:6379/0`,
		`domain.toml: [caches] default = 3: expected a table`,
		`domain.toml: [databases.default] database_uri = "mysql://***@db/shop": expected a URL of postgresql, such as postgresql://user@127.0.0.1:5432/database`,
		`domain.toml: [databases.default] pool_size = "many": expected a whole number from 1 to 10000`,
		`domain.toml: [observatory] listen_address = "9000": expected an address such as 127.0.0.1:9000`,
		`domain.toml: [observatory] max_inflight_bytes = "1000": expected a whole number from 1048576 to 1125899906842624`,
		`domain.toml: [observatory] metrics = "yes": expected true or false`,
		`domain.toml: [server] default_subscription_profile = "fsat": expected one of batch, debug, fast, production, projection, steady; did you mean "fast"?`,
		`domain.toml: [server] default_subscription_type = "streams": expected one of stream, event_store; did you mean "stream"?`,
		`domain.toml: [server.health] port = 70000: expected a port from 0 to 65535`,
		`domain.toml: [server.priority_lanes] backfill_suffix = " ": expected a text that is not blank`,
		`domain.toml: [server.profiles.steady] colour: expected a key of a subscription`,
		`domain.toml: [server.profiles.steady] max_retrys: expected a key of a subscription; did you mean "max_retries"?`,
		`domain.toml: [server.subscriptions.OrderProjector] blocking_timeout_ms = 0: expected a number of milliseconds, from 1 to 31622400000`,
		`domain.toml: [server.subscriptions.OrderProjector] messages_per_tick = 2.5: expected a whole number from 1 to 10000`,
		`domain.toml: [server.subscriptions.OrderProjector] retry_jitter = 2: expected a number from 0 to 1`,
	}, mistakes(t, file))
}

func TestAnErrorCanBeTakenApart(t *testing.T) {
	t.Parallel()
	_, err := Parse("domain.toml", []byte("[server]\nmessages_per_tick = 0"))
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Error{
		File: "domain.toml", Section: "server", Key: "messages_per_tick", Value: "0",
		Expected: "expected a whole number from 1 to 10000",
	}, *e)
}

func TestWarningsStandBesideTheMistakesThatTheyExplain(t *testing.T) {
	t.Parallel()
	const file = `
[observatory.handlers.A]
strem = "shop::order"
deliver = "log:"
[server.health]
prot = 1
`
	_, err := Parse("domain.toml", []byte(file), environ(nil))
	require.EqualError(t, err, `domain.toml: [observatory.handlers.A] stream: is missing: expected the stream to read, such as "shop::order"
warning: [observatory.handlers.A] strem: unknown key; did you mean "stream"?
warning: [server.health] prot: unknown key; did you mean "port"?`)

	var invalid *InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Len(t, invalid.Mistakes, 1)
	require.Equal(t, Warning{
		Code: CodeUnknownKey, Section: "observatory.handlers.A", Key: "strem", Text: `unknown key; did you mean "stream"?`,
	}, invalid.Warnings[0])
}

func TestNoSecretReachesAWarning(t *testing.T) {
	t.Parallel()
	c := parse(t, `
idempotency.redis_url = "redis://me:hunter2@h"
server.dlq.alert_callback = "hunter2.notify"
brokers.default = {passwrod = "hunter2"}
databases.default = {password = "hunter2"}
observatory.handlers.H = {stream = "s", deliver = "log:", headers.X = "hunter2", token = "hunter2"}
`)
	require.Len(t, c.Warnings, 6)
	for _, w := range c.Warnings {
		require.NotContains(t, w.String(), "hunter2")
	}
}

func TestNoSecretReachesAnError(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	files := map[string]string{
		"user-info":              `brokers.default = {provider = "redis", URI = "ftp://me:hunter2@host"}`,
		"odd password":           `brokers.default = {provider = "redis", URI = "ftp://me:h@/ hunter2@host"}`,
		"parameter":              `brokers.default = {provider = "redis", URI = "ftp://host?password=hunter2"}`,
		"parameter of Sentinel":  `brokers.default = {provider = "redis", URI = "ftp://host/m?sentinel_password=hunter2"}`,
		"Sentinel, no master":    `brokers.default = {provider = "redis", URI = "redis+sentinel://me:hunter2@host?sentinel_password=hunter2"}`,
		"Cluster, a database":    `brokers.default = {provider = "redis", URI = "redis+cluster://me:hunter2@host/0"}`,
		"key":                    `brokers.default = {provider = "redis", URI = "redis://h?hunter=1"}` + "\nserver.health.port = 99999",
		"header":                 `observatory.handlers.H = {stream = "s", deliver = "log:", headers = {X-Anything = ["hunter2"]}}`,
		"header of two lines":    `observatory.handlers.H = {stream = "s", deliver = "log:", headers = {X-Anything = "hunter2\nb"}}`,
		"target":                 `observatory.handlers.H = {stream = "s", deliver = "ftp://me:hunter2@host"}`,
		"secret in a wrong kind": `telemetry = {endpoint = 3, exporter = "https://me:hunter2@collector"}`,
		"variable":               `brokers.default = {provider = "redis", URI = "${URI}"}`,
		"syntax, unquoted":       "[databases.default]\npassword = hunter2",
		"syntax, url":            "[databases.default]\ndatabase_uri = postgresql://me:hunter2@db/shop",
		"syntax, bad escape":     "[databases.default]\ndatabase_uri = \"postgresql://me:hunter2\\q@db/shop\"",
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("domain.toml", []byte(file), environ(map[string]string{"URI": "ftp://me:hunter2@host"}))
			require.Error(t, err)
			require.NotContains(t, err.Error(), secret)
			require.Contains(t, err.Error(), "domain.toml")
		})
	}
}

// What a reference holds, or its default, may be a secret that was meant for
// another key; what stands where a URL or its parameters belong may be the rest of
// a password.
func TestAValueThatIsNoneOfItsKeyIsNotRepeated(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secretFile, []byte("hunter2"), 0o600))
	uri := func(text string) string { return `brokers.default = {provider = "redis", URI = "` + text + `"}` }
	database := func(text string) string {
		return `databases.default = {provider = "postgresql", database_uri = "` + text + `"}`
	}
	files := []string{
		uri("hunter2://x"), uri("x://hunter2"), uri("redis+hunter2://h"), uri("redis+sentinel://h?sentinel_username=hunter2"),
		uri("redis://h?password=a&db=hunter2"), uri("redis://h?max_connections=hunter2"), uri("redis://h?hunter2=1"), uri("redis://h?a=1&timeout=hunter2"),
		database("postgresql://h/d?sslmode=hunter2"), database("postgresql://h/d?port=0&host=hunter2"), database("postgresql://h/d?port=0&options=hunter2"),
		`brokers.default.provider = "hunter2"`, `databases.default.provider = "hunter2"`, `event_store.provider = "hunter2"`,
		`observatory.name = "${NONE|hunter2"`, `server.drain_timeout = "${NONE|x}hunter2}"`, `observatory.name = "a@${NONE|hunter2}${}"`,
		`telemetry.endpoint = "hunter2://x"`, `observatory.handlers.H = {stream = "s", deliver = "hunter2://x"}`,
	}
	for _, reference := range []string{"${SECRET}", "${NONE|hunter2}", "${NONE|${SECRET}}", "${file:" + secretFile + "}"} {
		for _, key := range []string{
			"server.messages_per_tick", "server.drain_timeout", "server.default_subscription_type", "server.default_subscription_profile", "server.health.port",
			"server.health.enabled", "observatory.listen_address", "logging.level", "logging.format", "telemetry.exporter", "telemetry.endpoint", "databases.default.provider",
		} {
			files = append(files, key+` = "`+reference+`"`)
		}
		files = append(files, uri(reference), uri(reference+"://x"), database(reference), `brokers.default = {provider = "redis", URI = "redis://h", max_connections = "`+reference+`"}`)
	}
	for _, file := range files {
		_, err := Parse("domain.toml", []byte(file), environ(map[string]string{"SECRET": "hunter2"}))
		require.Error(t, err, file)
		require.NotContains(t, err.Error(), "hunter2", file)
	}
	c := parse(t, uri("redis+sentinel://h/m?sentinel_username=hunter2&db=3"))
	require.Equal(t, "redis+sentinel://h/m?***&db=3", c.Brokers["default"].URIName)
}

func TestASyntaxErrorNamesTheLine(t *testing.T) {
	t.Parallel()
	require.Equal(t,
		[]string{`domain.toml:3: server.messages_per_tick: no valid TOML: expected value but found '?' instead`},
		mistakes(t, "\n[server]\nmessages_per_tick = ?"))
}

func TestTheNearestNameIsTheOneThatWasMeant(t *testing.T) {
	t.Parallel()
	names := []string{"max_retries", "retry_delay_seconds", "enable_dlq", "order"}
	for word, want := range map[string]string{
		"max_retry": "max_retries", "MAX_RETRIES": "max_retries", "retry_delay": "retry_delay_seconds", "retry_delay_second": "retry_delay_seconds",
		"enabledlq": "enable_dlq", "ordre": "order", "colour": "", "": "", "x": "",
	} {
		require.Equal(t, want, nearest(word, names), word)
	}
}

func TestABackfillSuffixThatNamesAnotherQueueIsRefused(t *testing.T) {
	t.Parallel()
	for suffix, want := range map[string]string{
		"dlq":     "expected another suffix: that is the one of dead-letter queues and commands",
		"command": "expected another suffix: that is the one of dead-letter queues and commands",
		"a b":     "expected a text without spaces: it is part of a stream's name",
	} {
		require.Equal(t, []string{`domain.toml: [server.priority_lanes] backfill_suffix = "` + suffix + `": ` + want},
			mistakes(t, "[server.priority_lanes]\nenabled = true\nbackfill_suffix = \""+suffix+"\""))
	}
	require.Contains(t, mistakes(t, "[server.priority_lanes]\nenabled = true\nbackfill_suffix = \"a\\u001b\"")[0], "expected a text without spaces")
}

func TestACallbackThatCannotBeCalledIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"http://", "http:///x", "https://h:x/", "http://h:99999/", "http://h:/", "ftp://h/", "HTTPS//h", "/tmp/x", "a b", "http://h:2/%zz"} {
		require.Equal(t, []string{`domain.toml: [server.dlq] alert_callback: expected an http(s) URL with a host, such as http://alerts.internal:8080/dlq, or the name of a function`},
			mistakes(t, "[server.dlq]\nalert_callback = '"+text+"'"), text)
	}
	for _, text := range []string{"http://h/", "https://h:2/x?key=y", "http://[::1]:80", "shop.alerts.notify"} {
		require.Equal(t, text, parse(t, "[server.dlq]\nalert_callback = '"+text+"'").DeadLetters.Callback)
	}
}

func TestATokenThatNoHeaderCarriesIsRefusedWithoutBeingShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a b", "hunter2\\n", "hünter2"} {
		require.Equal(t, []string{`domain.toml: [observatory] token: expected visible ASCII characters without spaces: a header carries it`},
			mistakes(t, "[observatory]\ntoken = \""+text+"\""), text)
	}
}
