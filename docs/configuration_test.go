package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
	"github.com/observatory-go/observatory/engine/config"
)

const configurationPage = "configuration.md"

// keyTable is a table of the page that is generated: the keys of a section, or
// the built-in profiles.
var keyTable = regexp.MustCompile(`(?s)<!-- keys of ([^:]+): begin -->\n.*?<!-- end -->`)

func TestTheTablesOfKeysAreGolden(t *testing.T) {
	t.Parallel()
	text := read(t, configurationPage)
	shown := map[string]bool{}
	want := keyTable.ReplaceAllStringFunc(text, func(found string) string {
		section := keyTable.FindStringSubmatch(found)[1]
		rows := keyRows(section, shown)
		require.NotEmpty(t, rows, section)
		return fmt.Sprintf("<!-- keys of %s: begin -->\n%s<!-- end -->", section, rows)
	})
	for _, k := range config.Keys() {
		require.True(t, k.Help == "" || shown[k.Name], "no table has the section of %s: %v", k.Name, k.Sections)
	}
	if promtest.Updating() {
		require.NoError(t, os.WriteFile(configurationPage, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, text, "run `go test ./docs -update` to rewrite it")
}

// keyRows is the table of a section, and adds to shown what it has.
func keyRows(section string, shown map[string]bool) string {
	var b strings.Builder
	if section == "profiles" {
		fmt.Fprintf(&b, "| Key | `%s` |\n|%s\n", strings.Join(config.BuiltinProfiles(), "` | `"),
			strings.Repeat(" --- |", 1+len(config.BuiltinProfiles())))
		for _, k := range config.Keys() {
			if k.Profiles != nil {
				fmt.Fprintf(&b, "| `%s` | %s |\n", k.Name, strings.Join(k.Profiles, " | "))
			}
		}
		return b.String()
	}
	b.WriteString("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n")
	for _, k := range config.Keys() {
		// Handlers of the file take the keys of a subscription, which have a table of
		// their own.
		ofSubscription := section == "observatory.handlers.*" && slices.Contains(k.Sections, "server.subscriptions.*")
		at := strings.Replace(section, "top level", "", 1)
		if k.Help != "" && slices.Contains(k.Sections, at) && !ofSubscription {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Type, k.Default, k.Help)
			shown[k.Name] = true
		}
	}
	return b.String()
}

func TestEveryKeyOfTheSectionsThatAreReadIsNamed(t *testing.T) {
	t.Parallel()
	page := read(t, configurationPage)
	named := 0
	for _, k := range config.Keys() {
		if !slices.ContainsFunc(k.Sections, func(s string) bool {
			return slices.Contains([]string{
				"observatory", "observatory.handlers.*", "server", "server.health", "server.subscriptions.*", "server.profiles.*",
				"brokers.*", "databases.*", "telemetry",
			}, s)
		}) {
			continue
		}
		require.Regexp(t, "[`.\\] ]"+k.Name+"[`\\]. ]", page)
		named++
	}
	require.Greater(t, named, 50)
}
