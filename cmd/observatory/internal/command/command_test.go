package command

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// asProgram has this test binary be the program, race detector and all.
const asProgram = "OBSERVATORY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main())
	}
	os.Exit(testserver.Main(m))
}

// result is how a command ended and what it printed.
type result struct {
	code           int
	stdout, stderr string
}

func observatory(args ...string) result {
	var stdout, stderr bytes.Buffer
	code := Run(args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func TestHelpIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"help"}, {"-h"}} {
		r := observatory(args...)
		require.Equal(t, exitDone, r.code, args)
		require.Empty(t, r.stderr, args)
		for _, word := range []string{"serve", "check", "version", "--log.level", "$OBSERVATORY_LOG_LEVEL"} {
			require.Contains(t, r.stdout, word, args)
		}
	}
	r := observatory("serve", "--help")
	require.Equal(t, exitDone, r.code)
	for _, flag := range []string{"--config", "embedded", "--web.listen-address", "--health.listen-address", "--web.telemetry-path", "--web.config.file"} {
		require.Contains(t, r.stdout, flag)
	}
}

func TestWrongUsageIsReportedInALineAndExitsWith64(t *testing.T) {
	t.Parallel()
	for wrong, args := range map[string][]string{
		"--nope": {"serve", "--nope"},
		"bogus":  {"bogus"},
		"loud":   {"serve", "--log.level", "loud"},
		"config": {"check", "--config"},
	} {
		r := observatory(args...)
		require.Equal(t, 64, r.code, args)
		require.Empty(t, r.stdout, args)
		require.Regexp(t, `^observatory: .*`+wrong+`.*; try --help\n$`, r.stderr)
	}
}

func TestVersionSaysWhichBuildItIs(t *testing.T) {
	t.Parallel()
	r := observatory("version")
	require.Equal(t, exitDone, r.code)
	require.Regexp(t, `^observatory \S+ \(revision \S+, go1\.\S+\)\n$`, r.stdout)
	require.Equal(t, r, observatory("--version"))

	r = observatory("version", "--json")
	require.Equal(t, exitDone, r.code)
	var build map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &build))
	for _, key := range []string{"version", "revision", "goversion"} {
		require.NotEmpty(t, build[key], key)
	}
}
