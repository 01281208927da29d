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
	want, got := ours(string(golden)), ours(string(exposed))
	for _, name := range elsewhere {
		delete(want, name)
		delete(got, name)
	}
	require.Equal(t, want, got, "%s is not what is exposed", promtest.Golden)
}

// elsewhere are metrics of what these tests do not set up (an event store, a circuit
// breaker, the maintenance of dead-letter queues), or that come after half a minute.
var elsewhere = []string{
	"protean_eventstore_head", "protean_subscription_circuit_breaker_state_total", "protean_subscription_circuit_open",
	"protean_dlq_alerts_total", "protean_dlq_trimmed_total",
	"protean_subscription_health", "protean_subscription_drain_seconds", "protean_stream_retention_held_entries",
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
