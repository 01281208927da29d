package promtest

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Updating says whether the test is run to rewrite golden files (-update).
func Updating() bool { return *update }

// RequireGolden compares an exposition with a golden file, or rewrites the file
// where the test is run with -update.
func RequireGolden(t testing.TB, path, exposition string) {
	t.Helper()
	if Updating() {
		require.NoError(t, os.WriteFile(path, []byte(exposition), 0o644))
	}
	golden, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(golden), "\n"), strings.Split(exposition, "\n"), "run `make golden` to rewrite %s", path)
}

// inherited are the names that promtool objects to and that stay, since they are
// the reference's.
var inherited = []string{"protean_broker_ops_per_sec_per_second", "protean_outbox_pending_count"}

// RequireLinted has promtool check an exposition that has all of our metrics. It
// must object to the inherited names, and to nothing else.
func RequireLinted(t testing.TB, exposition string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "install it with `apt-get install -y prometheus` (Debian) or `brew install prometheus` (macOS)")
	promtool := exec.CommandContext(t.Context(), path, "check", "metrics")
	promtool.Stdin = strings.NewReader(exposition)
	objections, err := promtool.CombinedOutput()
	var failed *exec.ExitError // how it reports objections
	require.ErrorAs(t, err, &failed, "%s", objections)
	names := map[string]bool{}
	for line := range strings.Lines(string(objections)) {
		name, _, _ := strings.Cut(line, " ")
		names[name] = true
	}
	want := map[string]bool{}
	for _, name := range inherited {
		want[name] = true
	}
	require.Equal(t, want, names, "%s", objections)
}
