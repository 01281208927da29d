package models_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheModelsHoldAndTheirMutantsFail(t *testing.T) {
	for model, mutants := range map[string][]string{
		"takeover":  {"NO_TAKEOVER", "NO_RENEWAL", "NO_IDLE", "NO_PENDING", "ALL_AT_ONCE"},
		"ownership": {"NO_FENCE", "NO_ROW", "NO_LOCK", "TWO_WRITES"},
	} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, search(t, model), "errors: 0")
		})
		for _, mutant := range mutants {
			t.Run(model+" with "+mutant, func(t *testing.T) {
				t.Parallel()
				require.Contains(t, search(t, model, "-D"+mutant+"=true"), "errors: 1", "the model does not notice what is left out")
			})
		}
	}
}

// search has Spin search all states of a model and returns what it reports.
func search(t *testing.T, model string, options ...string) string {
	t.Helper()
	for _, program := range []string{"spin", "cc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not in the PATH: engine/testserver/install installs it, or `apt-get install -y spin gcc libc6-dev` (Debian), or `brew install spin` (macOS)", program)
		}
	}
	file, err := filepath.Abs(model + ".pml")
	require.NoError(t, err)
	folder := t.TempDir()
	run := func(name string, arguments ...string) string {
		command := exec.CommandContext(t.Context(), name, arguments...)
		command.Dir = folder
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, output)
		return string(output)
	}
	run("spin", append(append([]string{"-a"}, options...), file)...)
	optimize := "-O1"
	if len(options) > 0 { // a mutant fails soon
		optimize = "-O0"
	}
	// NOFAIR: no property of the models needs fairness.
	run("cc", "-w", optimize, "-DCOLLAPSE", "-DNOFAIR", "-DMEMLIM=2000", "-o", "pan", "pan.c")
	report := run(filepath.Join(folder, "pan"), "-a", "-m100000")
	require.NotContains(t, report, "max search depth too small")
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "pan:") || strings.Contains(line, "states, stored") {
			t.Log(strings.TrimSpace(line))
		}
	}
	trail := filepath.Join(folder, model+".pml.trail")
	if _, err := os.Stat(trail); err == nil && len(options) == 0 {
		t.Log(run("spin", "-k", trail, "-p", file))
	}
	return report
}
