package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMisspeltKeyIsWarnedOfWithTheNameThatIsNear(t *testing.T) {
	t.Parallel()
	c := parse(t, `
[telemetyr]
[prod]
[observatory]
shutdown_timeout = 3
colour = 1
[observatory.handlers.H]
stream = "s"
deliver = "log:"
typs = []
max_retrys = 3
[server.subscriptions.X]
retry_delay_secnds = 1
`)
	var got []string
	for _, w := range c.Warnings {
		got = append(got, w.String())
	}
	require.ElementsMatch(t, []string{
		`[telemetyr]: unknown key; did you mean "telemetry"?`,
		`[observatory] shutdown_timeout: unknown key; did you mean "shutdown_timeout_seconds"?`,
		`[observatory] colour: unknown key`,
		`[observatory.handlers.H] typs: unknown key; did you mean "types"?`,
		`[observatory.handlers.H] max_retrys: unknown key; did you mean "max_retries"?`,
		`[server.subscriptions.X] retry_delay_secnds: unknown key; did you mean "retry_delay_seconds"?`,
	}, got)
}

func TestAMisspeltKeyIsWarnedOfInEverySection(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ section, wrong, right string }{
		{"brokers.default", "max_conections", "max_connections"},
		{"caches.default", "TLT", "TTL"},
		{"consume_idempotency", "clean_up", "cleanup"},
		{"consume_idempotency.cleanup", "batchsize", "batch_size"},
		{"databases.default", "pool_sise", "pool_size"},
		{"event_store", "max_connection", "max_connections"},
		{"idempotency", "redis_uri", "redis_url"},
		{"logging", "levell", "level"},
		{"observatory", "names", "name"},
		{"outbox", "external_broker", "external_brokers"},
		{"outbox.cleanup", "batchsize", "batch_size"},
		{"outbox.retry", "max_atempts", "max_attempts"},
		{"server", "default_subscription", "default_subscription_type"},
		{"server.broker_subscription", "enable_dqlq", "enable_dlq"},
		{"server.dlq", "retention_hour", "retention_hours"},
		{"server.event_store_subscription", "enable_recover", "enable_recovery"},
		{"server.health", "prot", "port"},
		{"server.partitioning", "lease_ttl", "lease_ttl_ms"},
		{"server.priority_lanes", "treshold", "threshold"},
		{"server.stream_subscription", "max_retrys", "max_retries"},
		{"server.subscriptions.X", "max_retrys", "max_retries"},
		{"server.transient_retry", "backof", "backoff"},
		{"server.version_retry", "max_delay", "max_delay_seconds"},
		{"telemetry", "endpiont", "endpoint"},
	} {
		var got []string
		for _, w := range parse(t, "["+row.section+"]\n"+row.wrong+" = 1").Warnings {
			if w.Code == CodeUnknownKey {
				got = append(got, w.String())
			}
		}
		require.Len(t, got, 1, row.section)
		require.True(t, strings.HasPrefix(got[0], fmt.Sprintf("[%s] %s: ", row.section, row.wrong)), got[0])
		require.True(t, strings.HasSuffix(got[0], fmt.Sprintf("; did you mean %q?", row.right)), got[0])
	}
}

func TestAMisspeltSectionOfAnEnvironmentIsWarnedOf(t *testing.T) {
	t.Parallel()
	c := parse(t, "[production.telemetyr]\nenabled = true\n[production.surprise]", map[string]string{"PROTEAN_ENV": "production"})
	require.Len(t, c.Warnings, 1)
	require.Equal(t, `[production.telemetyr]: unknown key; did you mean "telemetry"?`, c.Warnings[0].String())
}

// Without it the engine would run, on memory or with other settings.
func TestATableThatIsAlmostOneThatMattersIsAMistake(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"[broker.default]\nprovider = \"redis\"\nURI = \"redis://h\"":  `domain.toml: [broker]: is not the name of a table; did you mean "brokers"?`,
		"[database.default]\nprovider = \"memory\"":                    `domain.toml: [database]: is not the name of a table; did you mean "databases"?`,
		"[sevrer]\nmessages_per_tick = 5":                              `domain.toml: [sevrer]: is not the name of a table; did you mean "server"?`,
		"[production.broker.default]\nprovider = \"redis\"":            `domain.toml: [production.broker]: is not the name of a table; did you mean "brokers"?`,
		"[observatory.handler.H]\nstream = \"s\"":                      `domain.toml: [observatory.handler]: is not the name of a table; did you mean "handlers"?`,
		"[server.subscription.H]\nmax_retries = 5":                     `domain.toml: [server.subscription]: is not the name of a table; did you mean "subscriptions"?`,
		"[brokers.defualt]\nprovider = \"redis\"\nURI = \"redis://h\"": `domain.toml: [brokers.defualt]: there is no [brokers.default], which is the one that is used: give this table that name`,
		"[production.brokers.Default]\nprovider = \"inline\"":          `domain.toml: [brokers.Default]: there is no [brokers.default], which is the one that is used: give this table that name`,
	} {
		require.Equal(t, []string{want}, mistakes(t, file, map[string]string{"PROTEAN_ENV": "production"}), file)
	}
	parse(t, "[brokers.default]\nprovider = \"inline\"\n[brokers.defaults]\nprovider = \"inline\"\n[brokers.partner]\nprovider = \"inline\"")
	parse(t, "[brokers.defaults]\nprovider = \"inline\"\n[production.brokers.default]\nprovider = \"inline\"", map[string]string{"PROTEAN_ENV": "production"})
}

// Without it the handlers of such a table would not run, and no word be said.
func TestATableInTheWrongPlaceIsToldWhereItBelongs(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"[handlers.OrderMailer]\nstream = \"s\"":            `domain.toml: [handlers]: is not read here: expected it as [observatory.handlers]`,
		"[server.handlers.OrderMailer]\nstream = \"s\"":     `domain.toml: [server.handlers]: is not read here: expected it as [observatory.handlers]`,
		"[observatory.subscriptions.A]\nmax_retries = 5":    `domain.toml: [observatory.subscriptions]: is not read here: expected it as [server.subscriptions]`,
		"[production.health]\nport = 1":                     `domain.toml: [production.health]: is not read here: expected it as [server.health]`,
		"[stream_subscription]\nblocking_timeout_ms = 1000": `domain.toml: [stream_subscription]: is not read here: expected it as [server.stream_subscription]`,
	} {
		require.Equal(t, []string{want}, mistakes(t, file, map[string]string{"PROTEAN_ENV": "production"}), file)
	}
	parse(t, "[health]\nserver.port = 1", map[string]string{"PROTEAN_ENV": "health"})
}

func TestASectionThatIsAlmostThatOfAHandlerIsWarnedOf(t *testing.T) {
	t.Parallel()
	const handlers = "[observatory.handlers]\nA = {stream = \"s\", deliver = \"log:\"}\n\"shop.OrderMailer\" = {stream = \"t\", deliver = \"log:\"}\n"
	for section, want := range map[string]string{
		"Aa":          `[server.subscriptions.Aa]: is not that of a handler of the file; did you mean "A"?`,
		"OrderMailr":  `[server.subscriptions.OrderMailr]: is not that of a handler of the file; did you mean "OrderMailer"?`,
		"OrderMailer": "",
		"Unrelated":   "", // of a handler in Go
	} {
		c := parse(t, handlers+"[server.subscriptions."+section+"]\nmax_retries = 5")
		if want == "" {
			require.Empty(t, c.Warnings, section)
			continue
		}
		require.Len(t, c.Warnings, 1, section)
		require.Equal(t, want, c.Warnings[0].String())
	}
}

func TestAKeyOfASubscriptionInTheWrongSectionIsToldWhereItBelongs(t *testing.T) {
	t.Parallel()
	c := parse(t, "[server]\nmax_retries = 5\n[server.stream_subscription]\nconcurrency = 4\n[server.dlq]\nmax_retries = 2")
	var got []string
	for _, w := range c.Warnings {
		got = append(got, w.String())
	}
	require.Equal(t, []string{
		`[server] max_retries: unknown key; it is a key of [server.subscriptions.<Handler>]`,
		`[server.dlq] max_retries: unknown key; it is a key of [server.subscriptions.<Handler>]`,
		`[server.stream_subscription] concurrency: unknown key; it is a key of [server.subscriptions.<Handler>]`,
	}, got)
}

// A default that its own key would refuse, or that has another type than what is
// read, would show only where it is used.
func TestEveryDefaultIsWhatItsKeyReads(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, r := range table {
		for _, value := range append([]any{r.defaultValue, r.handlerDefault}, r.profiles...) {
			if value == nil {
				continue
			}
			p := &problems{}
			s := section{tree: map[string]any{r.name: r.kind.show(value)}, problems: p}
			require.Equal(t, value, r.kind.read(s, r.name), "%v %s", r.in, r.name)
			require.NoError(t, p.err())
			checked++
		}
	}
	require.Greater(t, checked, 60)
}

func TestNoKeyStandsTwiceInASection(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range table {
		for _, section := range r.in {
			require.False(t, seen[section+" "+r.name], "%s %s", section, r.name)
			seen[section+" "+r.name] = true
		}
	}
}
