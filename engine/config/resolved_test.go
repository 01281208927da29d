package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// resolvedRow is one subscription as Protean 0.18 resolved it, or its error.
type resolvedRow struct {
	Case       string
	ProteanEnv string `json:"protean_env"`
	Server     map[string]any
	Handler    string
	Options    struct {
		Profile      string         `json:"subscription_profile"`
		Type         string         `json:"subscription_type"`
		SourceStream string         `json:"source_stream"`
		Config       map[string]any `json:"subscription_config"`
	}
	Resolved map[string]any
	Message  string
}

// difference is where ours is not what Protean resolves. Each names the
// sentence that says so.
type difference struct {
	field        string
	python, ours any
	when         func(resolvedRow) bool
	why          string
}

const (
	yields     = "Defaults yield: a profile named anywhere beats the built-in defaults; only what the file itself sets beats a default profile"
	seedValues = "With nothing set the seed's values hold: 10 messages, 5000 ms, no breaker"
	lastTwo    = "no breaker, no retention, and no profile sets the last two"
	calls      = "Attempts are calls: those of Python's recovery, which reads [server.event_store_subscription] alone, are among them"
	honoured   = "dlq_* per subscription are honoured: seed"
)

func full(r resolvedRow) bool  { return r.Case == "domain-full.toml" }
func small(r resolvedRow) bool { return !full(r) }

func named(cases ...string) func(resolvedRow) bool {
	return func(r resolvedRow) bool {
		for _, c := range cases {
			if strings.HasPrefix(r.Case, c) {
				return true
			}
		}
		return false
	}
}

func differences() []difference {
	// With `[server] messages_per_tick` and `max_retries` removed and all else
	// in Python's default table, Python's profile shows through for these two.
	batch := named("default profile is shadowed by [server] values", "default profile, [server] values removed", "custom profile as default profile")
	return []difference{
		{"messages_per_tick", 100.0, 10.0, small, seedValues},
		{"blocking_timeout_ms", 100.0, 5000.0, small, seedValues},
		{"circuit_breaker_threshold", 10.0, nil, small, seedValues},

		{"circuit_breaker_threshold", 10.0, 20.0, full, lastTwo},
		{"circuit_breaker_reset_seconds", 60.0, 15.5, full, lastTwo},
		{"retention_maxlen", 100000.0, 50000.0, full, lastTwo},
		{"retention_maxlen", 1000.0, 50000.0, full, lastTwo},
		{"retention_maxlen", 100000.0, nil, small, lastTwo},
		{"retention_maxlen", 500000.0, nil, small, lastTwo},
		{"retention_maxlen", 1000.0, nil, small, lastTwo},

		{"subscription_type", "event_store", "stream", batch, yields},
		{"messages_per_tick", 100.0, 500.0, batch, yields},
		{"blocking_timeout_ms", 100.0, 10000.0, batch, yields},
		{"max_retries", 3.0, 5.0, batch, yields},
		{"retry_delay_seconds", 1.0, 2.0, batch, yields},
		{"enable_dlq", false, true, batch, yields},
		{"position_update_interval", 10.0, 50.0, batch, yields},

		{"max_retries", 4.0, 6.0, full, calls},
		{"retry_delay_seconds", 2.5, 0.5, full, calls},

		{"dlq_retention_hours", nil, 12.0, full, honoured},
		{"dlq_alert_threshold", nil, 3.0, full, honoured},
		{"dlq_retention_hours", nil, 5.0, named("dlq fields are dropped"), honoured},
		{"dlq_alert_threshold", nil, 6.0, named("dlq fields are dropped"), honoured},
	}
}

// errorsHere are rows that Protean takes and we refuse: what our error says, and
// the sentence behind it.
var errorsHere = map[string][2]string{
	"unknown type becomes event_store":  {`expected one of stream, event_store`, "Values out of range or of the wrong kind in keys that we read are errors, never another default"},
	"invalid: messages_per_tick = 2.5":  {`expected a whole number`, "Values of the wrong kind are errors"},
	"invalid: messages_per_tick = True": {`expected a whole number`, "Values of the wrong kind are errors"},
	"invalid: enable_dlq = 'no'":        {`expected true or false`, "booleans as text are `true` or `false`"},
}

// valuesHere are rows that Protean refuses and we take.
var valuesHere = map[string]struct {
	field string
	value any
	why   string
}{
	"invalid: messages_per_tick = '10'":       {"messages_per_tick", 10.0, "Values that come as text are converted and validated at load"},
	"custom profile with dlq_retention_hours": {"messages_per_tick", 10.0, honoured},
}

func TestSubscriptionsResolveAsInProteanButWhereTheDesignSaysOtherwise(t *testing.T) {
	t.Parallel()
	rules := differences()
	used := make([]bool, len(rules))
	for i, row := range readLines[resolvedRow](t, "testdata/resolved.jsonl") {
		name := fmt.Sprintf("line %d: %s, %s", i+1, row.Case, row.Handler)
		got, err := resolveRow(row)
		if want, ok := errorsHere[row.Case]; ok {
			require.ErrorContains(t, err, want[0], name)
			continue
		}
		if want, ok := valuesHere[row.Case]; ok {
			require.NoError(t, err, name)
			require.Equal(t, want.value, asPython(got)[want.field], name)
			continue
		}
		if row.Message != "" {
			require.Error(t, err, "%s: Protean says %s", name, row.Message)
			continue
		}
		require.NoError(t, err, name)
		ours := asPython(got)
		require.Len(t, row.Resolved, 14)
		for field, python := range row.Resolved {
			if ours[field] != python {
				use(t, rules, used, row, field, python, ours[field], name)
			}
		}
	}
	for i, rule := range rules {
		require.True(t, used[i], "no row shows this difference any more: %+v", rule)
	}
}

func use(t *testing.T, rules []difference, used []bool, row resolvedRow, field string, python, ours any, name string) {
	t.Helper()
	for i, r := range rules {
		if r.field == field && r.python == python && r.ours == ours && r.when(row) {
			used[i] = true
			return
		}
	}
	t.Errorf("%s: %s is %v in Protean, %v here, and no sentence of the design says so", name, field, python, ours)
}

func resolveRow(row resolvedRow) (Resolved, error) {
	c, err := configOf(row)
	if err != nil {
		return Resolved{}, err
	}
	r := handler.Events("shop.orders."+row.Handler, "shop::order")
	if category, ok := strings.CutPrefix(row.Handler, "Commands:"); ok {
		r = handler.Commands("shop.orders.OrderCommands", strings.TrimSuffix(category, message.CommandSuffix))
	}
	o := row.Options
	return c.Resolve(r.With(handler.Options{
		Profile: o.Profile, Type: o.Type, SourceStream: o.SourceStream, Settings: numbers(o.Config).(map[string]any),
	}))
}

func configOf(row resolvedRow) (*Config, error) {
	if full(row) {
		return Load(fullFile, environ(map[string]string{"PROTEAN_ENV": row.ProteanEnv, "DATABASE_URL": "postgresql://db/shop"}))
	}
	r := reading{env: func(string) (string, bool) { return "", false }}
	return r.config("domain.toml", map[string]any{"server": numbers(row.Server)})
}

// numbers turns JSON's numbers into TOML's. The generator wrote TOML's inf as
// text.
func numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		table := map[string]any{}
		for key, in := range v {
			table[key] = numbers(in)
		}
		return table
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	}
	return value
}

// asPython are the fields of Protean's SubscriptionConfig.
func asPython(r Resolved) map[string]any {
	all := map[string]any{}
	for field, decided := range r.all {
		switch v := decided.value.(type) {
		case int:
			all[field] = float64(v)
		case time.Duration:
			all[field] = v.Seconds()
			if field == "blocking_timeout_ms" {
				all[field] = float64(v.Milliseconds())
			}
		default:
			all[field] = v
		}
	}
	return all
}
