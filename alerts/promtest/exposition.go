// Package promtest tests dashboards, alert rules and expositions: it finds what
// an expression names that the observatory does not expose, and compares
// expositions with golden files.
package promtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Golden is the exposition that dashboards and rules are held to: what the app
// really exposes after a dead letter, its values masked. The path is from the
// top of the module.
const Golden = "cmd/observatory/internal/app/testdata/metrics.golden"

// Exposition maps the name of each sample to its labels.
type Exposition map[string][]string

// Load reads [Golden].
func Load(t testing.TB) Exposition {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), Golden))
	require.NoError(t, err)
	exposition := Parse(string(text))
	require.NotEmpty(t, exposition, "%s holds no sample", Golden)
	return exposition
}

var (
	sample = regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)
	label  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
)

// Parse reads Prometheus text: each sample's name with all labels that it has
// in any line.
func Parse(text string) Exposition {
	exposition := Exposition{}
	for _, line := range sample.FindAllStringSubmatch(text, -1) {
		labels := exposition[line[1]]
		for _, l := range label.FindAllStringSubmatch(line[2], -1) {
			if !slices.Contains(labels, l[1]) {
				labels = append(labels, l[1])
			}
		}
		exposition[line[1]] = labels
	}
	return exposition
}

// moduleRoot is the nearest folder above the test that has a go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.mod above the test")
		dir = parent
	}
}

// ours are names of samples that an observatory exposes.
var ours = regexp.MustCompile(`\bprotean_[a-z0-9_]+\b`)

// Names lists the metrics of ours that a PromQL expression names, each once.
func Names(expr string) []string {
	names := ours.FindAllString(withoutStrings(expr), -1)
	slices.Sort(names)
	return slices.Compact(names)
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func withoutStrings(expr string) string { return quoted.ReplaceAllString(expr, `""`) }
