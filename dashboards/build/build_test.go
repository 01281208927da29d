// Package build keeps the shipped dashboards true: they are what the scripts of
// this folder build with Grafana's Foundation SDK, and they keep the rules of
// Grafana's linter. The scripts run on Node; Go tests what they write.
package build

import (
	"embed"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// shipped is where the product embeds the dashboards from.
const shipped = "../grafana"

// sources are what Node reads. Embedded, so that a change of them makes Go run
// the tests again instead of taking its last result.
//
//go:embed *.mjs package.json package-lock.json
var sources embed.FS

func TestShippedDashboardsAreThoseBuiltHere(t *testing.T) {
	t.Parallel()
	const remedy = "run `make dashboards` and commit what it writes"
	folder := t.TempDir()
	node(t, "dependencies.mjs")
	node(t, "build.mjs", folder)

	built, found := texts(t, folder), texts(t, shipped)
	require.NotEmpty(t, built)
	require.Equal(t, names(built), names(found), remedy)
	for name := range built {
		require.Equal(t, built[name], found[name], remedy)
	}
}

// Everybody's npm asks the registry it is set to.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	t.Parallel()
	lock, err := sources.ReadFile("package-lock.json")
	require.NoError(t, err)
	require.Contains(t, string(lock), `"integrity"`)
	require.NotContains(t, string(lock), `"resolved"`, "run `npm install --omit-lockfile-registry-resolved`")
}

// node runs a script of this folder.
func node(t *testing.T, arguments ...string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "the dashboards are built on Node 18 or newer: "+
			"run `make servers`, or `apt-get install nodejs npm` (Debian), or `brew install node`")
	}
	output, err := exec.CommandContext(t.Context(), "node", arguments...).CombinedOutput()
	require.NoError(t, err, "node %v:\n%s", arguments, output)
}

// texts are the dashboards of a folder by the name of their file.
func texts(t *testing.T, folder string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	require.NoError(t, err)
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all[filepath.Base(path)] = string(text)
	}
	return all
}

func names(texts map[string]string) []string { return slices.Sorted(maps.Keys(texts)) }
