package domain

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// configurationPage names every key; see [documented].
const configurationPage = "../../docs/configuration.md"

// example is a file that a page shows, and where it stands there.
type example struct{ where, text string }

var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")

func shownFiles(t *testing.T) []example {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	var all []example
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, at := range tomlBlock.FindAllSubmatchIndex(text, -1) {
			line := strings.Count(string(text[:at[2]]), "\n") + 1
			all = append(all, example{fmt.Sprintf("%s:%d", filepath.Base(page), line), string(text[at[2]:at[3]])})
		}
	}
	return all
}

func TestEveryExampleOfTheDocsLoadsWithoutAWarning(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	for _, name := range []string{"token", "redis", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte("s3cret"), 0o600))
	}
	found := shownFiles(t)
	require.Greater(t, len(found), 10)
	for _, e := range found {
		text := strings.ReplaceAll(e.text, "/run/secrets", secrets)
		for _, environment := range []string{"", "production"} {
			c, err := Parse("domain.toml", []byte(text), environ(map[string]string{"PROTEAN_ENV": environment}))
			require.NoError(t, err, e.where)
			require.Empty(t, c.Warnings, e.where)
		}
	}
}

// documented are the tables of keys by their heading, and what may stand there.
func documented() map[string][]string {
	return map[string][]string{
		"`[observatory]`":                 observatoryKeys,
		"`[observatory.handlers.<name>]`": handlerKeys,
		"`[server]`":                      serverKeys,
		"`[server.health]`":               healthKeys,
		"Keys of a subscription":          settingNames(),
		"Profiles":                        settingNames(),
		"`[brokers.<name>]`":              brokerKeys,
		"`[databases.<name>]`":            databaseKeys,
		"`[telemetry]`":                   telemetryKeys,
		"`[logging]`":                     loggingKeys,
		"Top level":                       topLevel,
	}
}

var (
	heading  = regexp.MustCompile(`^#+ (.*)$`)
	firstKey = regexp.MustCompile("^\\| `([a-z_A-Z]+)` \\|")
)

func TestDocumentedKeysExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(configurationPage)
	require.NoError(t, err)
	tables, under, rows := documented(), "", 0
	for line := range strings.SplitSeq(string(page), "\n") {
		if h := heading.FindStringSubmatch(line); h != nil {
			under = h[1]
		}
		if key := firstKey.FindStringSubmatch(line); key != nil && tables[under] != nil {
			rows++
			require.Contains(t, tables[under], key[1], "under %s", under)
		}
	}
	require.Greater(t, rows, 50)
}

func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(configurationPage)
	require.NoError(t, err)
	for under, keys := range documented() {
		require.Contains(t, string(page), "# "+under+"\n")
		if under == "Top level" { // most of them are Python's own
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
			return regexp.MustCompile("[`.\\] ]" + key + "[`\\]. ]").Match(page)
		})
		require.Empty(t, missing, "of %s", under)
	}
}
