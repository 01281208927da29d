package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"
)

const fullFile = "testdata/domain-full.toml"

// loaded is what Protean 0.18 made of domain-full.toml in one environment.
type loaded struct {
	Environment map[string]string
	Config      map[string]any
	Message     string
}

func TestAProteanFileLoadsUnchangedInEachOfItsEnvironments(t *testing.T) {
	t.Parallel()
	for _, want := range readLines[loaded](t, "testdata/domain-full.jsonl") {
		t.Run(fmt.Sprint(want.Environment), func(t *testing.T) {
			t.Parallel()
			c, err := Load(fullFile, environ(want.Environment))
			if want.Message != "" {
				require.Equal(t, []string{fullFile + `: [databases.default] database_uri = "${DATABASE_URL}": ` +
					`environment variable DATABASE_URL is not set, and has no default (${DATABASE_URL|default})`}, lines(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, want.Environment["PROTEAN_ENV"], c.Environment)

			var differences []string
			compare("", want.Config, overlaidFile(t, want.Environment), &differences)
			require.Equal(t, []string{
				"custom.nested[2].inside: ${NOT_EXPANDED|x} in Python, x here", // tables inside arrays are visited
				"email_providers: in Python only",                              // no mail is sent here
			}, differences)
		})
	}
}

func overlaidFile(t *testing.T, vars map[string]string) map[string]any {
	var file map[string]any
	_, err := toml.DecodeFile(fullFile, &file)
	require.NoError(t, err)
	env := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	tree := forEnvironment(file, vars["PROTEAN_ENV"], env, &problems{})
	return flat(tree).(map[string]any)
}

// flat is a tree as JSON has it.
func flat(value any) any {
	switch v := plain(value).(type) {
	case map[string]any:
		table := map[string]any{}
		for key, in := range v {
			table[key] = flat(in)
		}
		return table
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = flat(v[i])
		}
		return all
	case int64:
		return float64(v)
	default:
		return v
	}
}

func compare(path string, python, ours any, differences *[]string) {
	say := func(format string, args ...any) {
		*differences = append(*differences, path+": "+fmt.Sprintf(format, args...))
	}
	p, pTable := python.(map[string]any)
	o, oTable := ours.(map[string]any)
	pa, pArray := python.([]any)
	oa, oArray := ours.([]any)
	switch {
	case pTable && oTable:
		for _, key := range slices.Sorted(maps.Keys(merge(p, o))) {
			compare(join(path, key), p[key], o[key], differences)
		}
	case pArray && oArray && len(pa) == len(oa):
		for i := range pa {
			compare(fmt.Sprintf("%s[%d]", path, i), pa[i], oa[i], differences)
		}
	case ours == nil:
		say("in Python only")
	case pTable || oTable || pArray || oArray || python != ours:
		say("%v in Python, %v here", python, ours)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func readLines[T any](t *testing.T, path string) []T {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var all []T
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row T
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		all = append(all, row)
	}
	require.NoError(t, lines.Err())
	require.NotEmpty(t, all)
	return all
}

func TestWhatHasNoEffectInAProteanFileIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	c, err := Load(fullFile, environ(nil))
	require.NoError(t, err)
	var got []string
	for _, w := range c.Warnings {
		got = append(got, fmt.Sprintf("%s [%s] %s", w.Code, w.Section, w.Key))
	}
	require.ElementsMatch(t, []string{
		"UNKNOWN_KEY [databases.default] echo",
		"UNKNOWN_KEY [server.subscriptions.FieldsHandler] colour",
		"UNKNOWN_KEY [server.subscriptions.FieldsHandler] stream_category",
		"PYTHON_ONLY [idempotency] ",
		"PYTHON_ONLY [consume_idempotency] ",
		"PYTHON_ONLY [server.transient_retry] enabled",
		"PYTHON_ONLY [server.partitioning] ",
		"NOT_BUILT [server.event_store_subscription] recovery_interval_seconds",
		"PYTHON_ONLY [server.dlq] alert_callback",
		"PYTHON_ONLY [logging] backup_count, http, log_dir, log_file_prefix, max_bytes, per_logger, redact, sampling, slow_handler_threshold_ms, slow_query_threshold_ms, slow_query_truncate_chars",
		"NOT_BUILT [server.health] port_auto_increment",
		"NOT_BUILT [observatory] trace_retention_days",
		"NOT_BUILT [outbox] ",
	}, got)
}
