// Package docs_test keeps the pages true: their links lead somewhere, the
// metrics that they name exist, and what can be generated is.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages are all that people read, from the root of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"../README.md", "../CHANGELOG.md", "../CONTRIBUTING.md", "../SECURITY.md", "../alerts/runbook.md", "../bench/README.md", "../chaos/README.md", "../models/README.md"}
	docs, err := filepath.Glob("*.md")
	require.NoError(t, err)
	return append(all, docs...)
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	return string(text)
}

func TestTheFilesOfTheWalksExist(t *testing.T) {
	t.Parallel()
	text := read(t, "../CONTRIBUTING.md")
	files := regexp.MustCompile("`([a-z]+/[a-z0-9_/]+\\.(?:go|lua|yaml))`").FindAllStringSubmatch(text, -1)
	require.Greater(t, len(files), 30)
	for _, file := range files {
		require.FileExists(t, filepath.Join("..", file[1]))
	}
}

var (
	code = regexp.MustCompile("(?ms)^```.*?^```$")
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	followed := 0
	for _, page := range pages(t) {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			if strings.Contains(l[1], "://") || strings.HasPrefix(l[1], "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(l[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
				require.FileExists(t, target, "link %s of %s", l[1], page)
			}
			if anchor != "" {
				require.Contains(t, anchors(t, target), anchor, "link %s of %s", l[1], page)
			}
			followed++
		}
	}
	require.Greater(t, followed, 30)
}

var (
	headings   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unanchored = regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`)
)

// anchors are those that GitHub gives the headings of a page.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	for _, h := range headings.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
		text := unanchored.ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

var metricName = regexp.MustCompile(`\bprotean_[a-z_]+[a-z]\b`)

func TestEveryMetricNamedExists(t *testing.T) {
	t.Parallel()
	var known []string
	for _, m := range metrics(t) {
		known = append(known, m.name)
		if m.kind == "histogram" {
			known = append(known, m.name+"_bucket", m.name+"_sum", m.name+"_count")
		}
	}
	named := 0
	for _, page := range pages(t) {
		for _, name := range metricName.FindAllString(read(t, page), -1) {
			begins := slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, name+"_") })
			require.True(t, slices.Contains(known, name) || begins, "%s of %s", name, page)
			named++
		}
	}
	require.Greater(t, named, 50)
}

func TestTheReadmesProgramIsTheOneThatIsCompiled(t *testing.T) {
	t.Parallel()
	const begin, end = "// begin of the README's program\n", "\t// end of the README's program"
	_, rest, found := strings.Cut(read(t, "../engine/example_service_test.go"), begin)
	require.True(t, found)
	program, _, found := strings.Cut(rest, end)
	require.True(t, found)
	program = strings.TrimPrefix(strings.ReplaceAll(program, "\n\t", "\n"), "\t")
	require.Contains(t, read(t, "../README.md"), "```go\n"+program+"```\n")
}
