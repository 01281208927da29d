package config

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

func TestASmallPoolIsWarnedOfWhereItMatters(t *testing.T) {
	t.Parallel()
	const file = `
[databases.default]
provider = "postgresql"
database_uri = "postgresql://db/shop"
pool_size = "${POOL|2}"
[databases.reports]
provider = "sqlite"
database_uri = "sqlite:///r"
pool_size = 4
[databases.big]
provider = "postgresql"
database_uri = "postgresql://db/shop"
[databases.memory]
pool_size = 1
`
	text := func(name, size string) string {
		return "Database '" + name + "' has pool_size=" + size + " (production default is 5). Consider raising it for production workloads."
	}
	want := []Warning{
		{Code: CodeLowPoolSize, Section: "databases.default", Text: text("default", "2")},
		{Code: CodeLowPoolSize, Section: "databases.reports", Text: text("reports", "4")},
	}
	require.Equal(t, want, parse(t, file).Warnings)
	require.Equal(t, want, parse(t, file, map[string]string{"PROTEAN_ENV": "production"}).Warnings)
	require.Empty(t, parse(t, file, map[string]string{"PROTEAN_ENV": "testing"}).Warnings)
	require.Empty(t, parse(t, file, map[string]string{"PROTEAN_ENV": "development"}).Warnings)
	require.Len(t, parse(t, file, map[string]string{"POOL": "5"}).Warnings, 1)
}

func TestAPoolWithoutLimitIsRefusedAndNotTakenForTheDefault(t *testing.T) {
	t.Parallel()
	for value, shown := range map[string]string{"0": "0", `"${POOL|0}"`: `"${POOL}"`} {
		require.Equal(t, []string{
			`domain.toml: [databases.default] pool_size = ` + shown + `: expected a whole number from 1 to 10000; ` +
				`SQLAlchemy's 0, a pool without limit, is max_overflow = -1 here`,
		}, mistakes(t, "[databases.default]\nprovider = \"postgresql\"\ndatabase_uri = \"postgresql://h/d\"\npool_size = "+value))
	}
}

func TestHandlersOfTheFileAreReadWithTheirSettings(t *testing.T) {
	t.Parallel()
	c := parse(t, `
source_uri = "https://shop.example.test"
[observatory.handlers.OrderMailer]
stream = "shop::order"
types = ["Shop.OrderPlaced.v1", "${TYPE|Shop.OrderPaid.v1}"]
deliver = "http://127.0.0.1:8000/events"
headers.Authorization = "Bearer ${TOKEN}"
headers.X-Tenant = "eu"
group = "mailers"
profile = "fast"
concurrency = 4
order = "customer"
[observatory.handlers.Audit]
stream = "legacy"
deliver = "log:"
format = "fields"
[server.subscriptions.OrderMailer]
max_retries = 9
concurrency = 2
handler_timeout_seconds = 7
`, map[string]string{"TOKEN": "t0k"})
	require.Len(t, c.Handlers, 2)
	audit, mailer := c.Handlers[0], c.Handlers[1]
	require.Equal(t, "Audit", audit.Name)
	require.Equal(t, handler.FormatFields, audit.Format)
	require.Equal(t, TargetLog, audit.Target)
	require.Equal(t, handler.FormatEnvelope, mailer.Format)
	require.Equal(t, []string{"Shop.OrderPlaced.v1", "Shop.OrderPaid.v1"}, mailer.Types)
	headers, err := mailer.Headers()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Authorization": "Bearer t0k", "X-Tenant": "eu"}, headers)

	resolved, err := c.Resolve(handler.Events(mailer.Name, mailer.Stream))
	require.NoError(t, err)
	require.Equal(t, TypeStream, resolved.Type, "handlers of the file are always stream")
	set := resolved.Config()
	require.Equal(t, 4, set.Concurrency, "what stands with the handler beats its section")
	require.Equal(t, 2, set.Retry.MaxAttempts, "a profile that stands with the handler beats its section too")
	require.Equal(t, "customer", set.Order)
	require.Equal(t, "7s", set.HandlerTimeout.String())

	resolved, err = c.Resolve(handler.Events(audit.Name, audit.Stream))
	require.NoError(t, err)
	require.Equal(t, TypeStream, resolved.Type)
	set = resolved.Config()
	require.Equal(t, "30s", set.HandlerTimeout.String())
	require.Equal(t, 10, set.MessagesPerTick)
}

func TestMistakesOfHandlersOfTheFileAreAllReported(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`domain.toml: [observatory.handlers.A] deliver = "ftp://h/x": expected "log:" or a URL such as "http://127.0.0.1:8000/events"`,
		`domain.toml: [observatory.handlers.A] format = "avro": expected one of envelope, fields, object`,
		`domain.toml: [observatory.handlers.A] profile = "bacth": expected one of batch, debug, fast, production, projection; did you mean "batch"?`,
		`domain.toml: [observatory.handlers.A] stream: is missing: expected the stream to read, such as "shop::order"`,
		`domain.toml: [observatory.handlers.A] subscription_type = "event_store": expected "stream", or [event_store] provider = "message_db": a store in memory has what its own program appends, and no other reads`,
		`domain.toml: [observatory.handlers.A] types = "x": expected an array of texts`,
		`domain.toml: [observatory.handlers.A.headers]: a key of it is not the name of an HTTP header, such as Authorization`,
		`domain.toml: [observatory.handlers.B] deliver: is missing: expected "log:" or a URL such as "http://127.0.0.1:8000/events"`,
		`domain.toml: [observatory.handlers.B] stream = "a b": expected the name of a stream without spaces`,
		`domain.toml: [observatory.handlers.C] types = an array: expected none: an entry of format = "fields" has no type`,
	}, mistakes(t, `
[observatory.handlers.A]
types = "x"
deliver = "ftp://h/x"
format = "avro"
profile = "bacth"
subscription_type = "event_store"
headers = {"X Y" = "v"}
[observatory.handlers.B]
stream = "a b"
[observatory.handlers.C]
stream = "s"
deliver = "log:"
types = ["T"]
format = "fields"
`))
}

func TestAStopWaitsAsLongAsProteansKeySays(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]time.Duration{
		"":                                  10 * time.Second,
		"[server]\ndrain_timeout = 25":      25 * time.Second,
		"[server]\ndrain_timeout = \"2.5\"": 2500 * time.Millisecond,
		"[server]\ndrain_timeout = 25\n[observatory]\nshutdown_timeout_seconds = 3": 3 * time.Second,
	} {
		c := parse(t, file)
		require.Equal(t, want, c.Observatory.ShutdownTimeout, file)
		require.Empty(t, c.Warnings)
	}
	require.Equal(t, []string{`domain.toml: [server] drain_timeout = "soon": expected a number`}, mistakes(t, "[server]\ndrain_timeout = \"soon\""))
}

func TestHeadersThatARequestCannotHaveAreMistakes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"content-length": "say how a request is written", "Transfer-Encoding": "say how a request is written", "Trailer": "say how a request is written",
		"traceparent": "belong to the event", "TraceState": "belong to the event", "Ce-Id": "belong to the event",
	} {
		found := mistakes(t, "[observatory.handlers.A]\nstream = \"s\"\ndeliver = \"http://h/\"\nheaders."+name+" = \"x\"")
		require.Len(t, found, 1, name)
		require.Contains(t, found[0], want)
	}
	c := parse(t, "[observatory.handlers.A]\nstream = \"s\"\ndeliver = \"log:\"\nheaders.X = \"x\"")
	require.Len(t, c.Warnings, 1)
	require.Equal(t, `[observatory.handlers.A] headers: is not used: deliver = "log:" sends no request`, c.Warnings[0].String())
}

func TestAnEmptyGroupIsAMistakeAndAnEmptyOriginStreamIsNone(t *testing.T) {
	t.Parallel()
	const section = "[observatory.handlers.H]\nstream = \"s\"\ndeliver = \"log:\"\n"
	require.Equal(t, []string{`domain.toml: [observatory.handlers.H] group = "${NONE}": expected a text that is not empty`}, mistakes(t, section+`group = "${NONE|}"`))
	c := parse(t, section+`origin_stream = "${NONE|}"`)
	resolved, err := c.Resolve(handler.Events("H", "s"))
	require.NoError(t, err)
	require.Empty(t, resolved.Config().OriginStream)
}

func TestAHeaderThatBelongsToTheEventIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Content-Type", "content-type", "ce-id", "CE-Source", "Ce-anything"} {
		require.Equal(t, []string{
			`domain.toml: [observatory.handlers.A.headers] ` + name + ` = ***: expected no such header: ` +
				`Content-Type, ce-*, traceparent and tracestate belong to the event that is delivered; remove it, or give it another name`,
		}, mistakes(t, "[observatory.handlers.A]\nstream = \"s\"\ndeliver = \"http://h/\"\nheaders."+name+" = \"x\""))
	}
	require.Empty(t, parse(t, "[observatory.handlers.A]\nstream = \"s\"\ndeliver = \"http://h/\"\nheaders = {cell = \"x\", X-Content-Type = \"x\"}").Warnings)
}

func TestAHeaderThatCannotBeSentIsRefused(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`"" = "v"`:            `: a key of it is not the name of an HTTP header, such as Authorization`,
		`"X:Y" = "v"`:         `: a key of it is not the name of an HTTP header, such as Authorization`,
		`"Ü" = "v"`:           `: a key of it is not the name of an HTTP header, such as Authorization`,
		`X-Bell = "a\u0007b"`: ` X-Bell = ***: expected a value of one line, without control characters`,
		`X-Two = "a\nb"`:      ` X-Two = ***: expected a value of one line, without control characters`,
	} {
		got := mistakes(t, "[observatory.handlers.A]\nstream = \"s\"\ndeliver = \"http://h/\"\nheaders = {"+header+"}")
		require.Len(t, got, 1, header)
		require.Contains(t, got[0], "[observatory.handlers.A.headers]"+want, header)
	}
}

func TestMetricsThatAreNotPushedAreWarnedOf(t *testing.T) {
	t.Parallel()
	const file = "[telemetry]\nexporter = \"Console\"\nenabled = "
	require.Equal(t, []Warning{{
		Code: CodeNotBuilt, Section: "telemetry", Key: "exporter",
		Text: `accepted, without effect in this release: nothing is printed or pushed; "otlp" pushes, and /metrics has all`,
	}}, parse(t, file+"true").Warnings)
	require.Empty(t, parse(t, file+"false").Warnings, "none are asked for")
}

func TestTelemetryAndLoggingAreRead(t *testing.T) {
	t.Parallel()
	c, err := Load(fullFile, environ(nil))
	require.NoError(t, err)
	require.Equal(t, Telemetry{
		Enabled: true, ServiceName: "shop", Exporter: "otlp", Endpoint: "http://127.0.0.1:4317",
		ResourceAttributes: map[string]string{"deployment.environment": "test", "team": "orders"},
	}, c.Telemetry)
	require.Equal(t, Logging{Level: new(slog.LevelWarn), Format: "json"}, c.Logging)
}

// Without a provider the one in memory is taken, and the server never asked.
func TestAURLWithoutItsProviderIsAMistake(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"[brokers.default]\nURI = \"redis://:hunter2@h/0\"":                   `[brokers.default] URI = "redis://***@h/0": expected the provider beside it, such as provider = "redis"`,
		"[brokers.other]\nURI = \"${URL|redis://hunter2@h}\"":                 `[brokers.other] URI = "${URL}": expected the provider beside it`,
		"[live.brokers.default]\nURI = \"redis://h/0\"":                       `[brokers.default] URI = "redis://h/0": expected the provider beside it`,
		"[databases.default]\ndatabase_uri = \"postgresql://me:hunter2@h/d\"": `[databases.default] database_uri = "postgresql://***@h/d": expected the provider beside it, such as provider = "postgresql"`,
		"[caches.default]\nURI = \"redis://h/0\"":                             `[caches.default] URI = "redis://h/0": expected the provider beside it, such as provider = "redis"`,
		"[event_store]\ndatabase_uri = \"postgresql://h/d\"":                  `[event_store] database_uri = "postgresql://h/d": expected the provider beside it, such as provider = "message_db"`,
	} {
		got := mistakes(t, file, map[string]string{"PROTEAN_ENV": "live"})
		require.Len(t, got, 1, file)
		_, err := Parse("domain.toml", []byte(file), environ(map[string]string{"PROTEAN_ENV": "live"}))
		invalid, _ := errors.AsType[*InvalidError](err)
		require.Empty(t, invalid.Warnings, "it is said once")
		require.Equal(t, strings.HasPrefix(file, "[live"), invalid.Overlaid, file)
		require.Contains(t, got[0], want)
		require.NotContains(t, got[0], "hunter2")
	}
	// One that a file's environment takes out of use is none.
	c := parse(t, "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://h/0\"\n[test.brokers.default]\nprovider = \"inline\"",
		map[string]string{"PROTEAN_ENV": "test"})
	require.Equal(t, "inline", c.Brokers["default"].Provider)
	require.Len(t, c.Warnings, 1)
	require.Equal(t, `[brokers.default] URI: is not used: provider = "inline" keeps all in memory`, c.Warnings[0].String())
}

func TestABrokerHasAURLForPeople(t *testing.T) {
	t.Parallel()
	file := "[brokers.default]\nprovider = \"redis\"\nURI = \"redis://me:${PASSWORD}@h:6379/0?password=${PASSWORD}\""
	c := parse(t, file, map[string]string{"PASSWORD": "hunter2"})
	require.Contains(t, c.Brokers["default"].URIName, "@h:6379/0")
	require.NotContains(t, c.Brokers["default"].URIName, "hunter2")
	require.Empty(t, parse(t, "").Brokers["default"].URIName)
}

func TestAnEnvironmentWithoutATableIsWarnedOfWhereOthersHaveOne(t *testing.T) {
	t.Parallel()
	const production = "[production.server]\nmessages_per_tick = 1\n[email_providers.default]\nprovider = \"x\"\n"
	for name, c := range map[string]struct{ file, environment, want string }{
		"its beginning":          {production, "prod", `"prod", so that what it says for all environments holds; it has tables for production; did you mean "production"?`},
		"misspelt":               {"[sandbox.server]\nmessages_per_tick = 1\n", "sandbax", `did you mean "sandbox"?`},
		"another":                {production, "staging", `"staging", so that what it says for all environments holds; it has tables for production`},
		"its own":                {production, "production", ""},
		"not set":                {production, "", ""},
		"Protean's default":      {production, "development", ""},
		"one that is near":       {"[test.server]\nmessages_per_tick = 1\n", "testing", `did you mean "test"?`},
		"no table but the usual": {"[email_providers.default]\nprovider = \"x\"\n", "prod", ""},
	} {
		loaded := parse(t, c.file, map[string]string{"PROTEAN_ENV": c.environment})
		require.Equal(t, c.environment == "production", loaded.Overlaid, name)
		if c.want == "" {
			require.Empty(t, loaded.Warnings, name)
			continue
		}
		require.Len(t, loaded.Warnings, 1, name)
		require.Equal(t, CodeNoEnvironment, loaded.Warnings[0].Code)
		require.Contains(t, loaded.Warnings[0].String(), c.want, name)
	}
}
