package e2e

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/alerts/promtest"
)

// requireGolden holds the list of names and labels, by which rules and
// dashboards are tested, to what the observatory really exposes.
func requireGolden(t *testing.T, metrics string) {
	t.Helper()
	response, err := get(t, "http://"+metrics+"/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	exposed, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	golden, err := os.ReadFile("../" + promtest.Golden)
	require.NoError(t, err)
	require.Equal(t, ours(string(golden)), ours(string(exposed)), "%s is not what is exposed", promtest.Golden)
}

// ours are the names that the observatory exposes of its own, each with its
// labels in order.
func ours(text string) map[string][]string {
	names := map[string][]string{}
	for name, labels := range promtest.Parse(text) {
		if strings.HasPrefix(name, "protean_") {
			names[name] = slices.Sorted(slices.Values(labels))
		}
	}
	return names
}
