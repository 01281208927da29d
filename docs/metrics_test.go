package docs_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
	"github.com/observatory-go/observatory/gauges"
)

// exposition is what a scrape of everything shows, its values masked.
const exposition = "../" + promtest.Golden

// metric is one row of the page.
type metric struct {
	name, kind, help string
	labels           []string
	bounds           []string // of a histogram, in seconds
}

// chapters group the metrics by the beginnings of their names.
var chapters = []struct{ title, prefix string }{
	{"Subscriptions", "protean_subscription_"},
	{"Streams, event store and dead-letter queues", "protean_stream_ protean_dlq_ protean_eventstore_"},
	{"Engine", "protean_engine_ protean_build_"},
	{"Broker", "protean_broker_"},
	{"Databases and outbox", "protean_db_ protean_outbox_"},
	{"Collector", "protean_collector_"},
}

func TestThePageOfMetricsIsGolden(t *testing.T) {
	t.Parallel()
	const page, begin, end = "metrics.md", "<!-- generated: begin -->\n", "<!-- generated: end -->\n"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, tail, found := strings.Cut(rest, end)
	require.True(t, found)
	want := head + begin + tables(t, metrics(t)) + end + tail
	if promtest.Updating() {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "run `go test ./docs -update` to rewrite it")
}

// metrics are those of the table and all others that a scrape shows.
func metrics(t *testing.T) []metric {
	t.Helper()
	all := scraped(t)
	for _, g := range gauges.Table() {
		m := metric{name: g.Exposed, kind: "gauge", help: g.Help, labels: g.Labels}
		if g.Counter {
			m.kind = "counter"
		}
		all[g.Exposed] = m
	}
	return slices.SortedFunc(maps.Values(all), func(a, b metric) int { return cmp.Compare(a.name, b.name) })
}

var (
	labelName = regexp.MustCompile(`[{,]([a-z_]+)="([^"]*)"`)
	suffix    = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// scraped reads the exposition's families by their names.
func scraped(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile(exposition)
	require.NoError(t, err)
	all := map[string]metric{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		words := strings.SplitN(line, " ", 4)
		if words[0] == "#" {
			m := all[words[2]]
			m.name = words[2]
			if words[1] == "HELP" {
				m.help = words[3]
			} else {
				m.kind = words[3]
			}
			all[m.name] = m
			continue
		}
		name, _, _ := strings.Cut(line, "{")
		m, ok := all[name]
		if !ok {
			m = all[suffix.ReplaceAllString(name, "")]
		}
		require.NotEmpty(t, m.name, line)
		m.read(line)
		all[m.name] = m
	}
	require.Greater(t, len(all), 20)
	return all
}

// read takes the labels of a sample.
func (m *metric) read(sample string) {
	for _, label := range labelName.FindAllStringSubmatch(sample, -1) {
		switch {
		case label[1] != "le":
			m.labels = append(m.labels, label[1])
		case !slices.Contains(m.bounds, label[2]):
			m.bounds = append(m.bounds, label[2])
		}
	}
	slices.Sort(m.labels)
	m.labels = slices.Compact(m.labels)
}

func tables(t *testing.T, all []metric) string {
	t.Helper()
	var b strings.Builder
	rows := 0
	for _, chapter := range chapters {
		fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Whose | Labels | Meaning |\n| --- | --- | --- | --- | --- |\n", chapter.title)
		for _, m := range all {
			if belongs(m.name, chapter.prefix) {
				b.WriteString(m.row())
				rows++
			}
		}
	}
	require.Equal(t, len(all), rows, "a metric has no chapter")
	return b.String() + "\n"
}

func belongs(name, prefixes string) bool {
	return slices.ContainsFunc(strings.Fields(prefixes), func(p string) bool { return strings.HasPrefix(name, p) })
}

func (m metric) row() string {
	meaning, whose := m.whose()
	if len(m.bounds) > 0 {
		meaning += " Buckets up to " + strings.Join(m.bounds, ", ") + "."
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, whose,
		strings.Join(m.labels, ", "), strings.ReplaceAll(meaning, "|", `\|`))
}

// whose splits a help into its meaning and whose figure it is. What the engine
// counts itself is its own.
func (m metric) whose() (meaning, whose string) {
	for _, end := range []struct{ text, whose string }{
		{" Shared figure:", "shared"},
		{" This process' own figure:", "own"},
		{" As this process sees it:", "view"},
	} {
		if before, _, found := strings.Cut(m.help, end.text); found {
			return before, end.whose
		}
	}
	return strings.Replace(m.help, "; this process only.", ".", 1), "own"
}
