package command

import (
	"bytes"
	"encoding/json"
	"errors"
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
	required := observatory("dlq", "replay", "--help")
	require.Equal(t, exitDone, required.code, required.stderr)
	require.Contains(t, required.stdout, "usage: observatory dlq replay [<flags>] <id>...")
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
		`--log.level, or the variable OBSERVATORY_LOG_LEVEL, is "loud": expected one of debug`: {"serve", "--log.level", "loud"},
		`--log.format, or the variable OBSERVATORY_LOG_FORMAT, is "xml": expected one of auto`: {"serve", "--log.format", "xml"},
		"config": {"check", "--config"},
		`--config, or the variable OBSERVATORY_CONFIG, is "": expected the path of a configuration file`:                    {"serve", "--config", ""},
		`--config, or the variable OBSERVATORY_CONFIG, is "": expected the path of`:                                         {"check", "--config="},
		`--web.listen-address, or the variable OBSERVATORY_WEB_LISTEN_ADDRESS, is "nope": expected an address`:              {"serve", "--web.listen-address", "nope"},
		`--web.listen-address, or the variable OBSERVATORY_WEB_LISTEN_ADDRESS, is "127.0.0.1:99999"`:                        {"serve", "--web.listen-address", "127.0.0.1:99999"},
		`--health.listen-address, or the variable OBSERVATORY_HEALTH_LISTEN_ADDRESS, is "127.0.0.1:http": expected an addr`: {"serve", "--health.listen-address", "127.0.0.1:http"},
		`--web.telemetry-path, or the variable OBSERVATORY_WEB_TELEMETRY_PATH, is "/\{x": expected a path`:                  {"serve", "--web.telemetry-path", "/{x"},
		`--web.telemetry-path, or the variable OBSERVATORY_WEB_TELEMETRY_PATH, is "GET /x"`:                                 {"serve", "--web.telemetry-path", "GET /x"},
		`--web.telemetry-path, or the variable OBSERVATORY_WEB_TELEMETRY_PATH, is "/a/../b"`:                                {"serve", "--web.telemetry-path", "/a/../b"},
	} {
		r := observatory(args...)
		require.Equal(t, 64, r.code, args)
		require.Empty(t, r.stdout, args)
		require.Regexp(t, `^observatory: .*`+wrong+`.*; try --help\n$`, r.stderr)
	}
}

// It would start the sample, or take a file that lies around.
func TestAnEmptyVariableForTheConfigurationIsWrongUsage(t *testing.T) {
	t.Setenv("OBSERVATORY_CONFIG", "")
	for _, args := range [][]string{{"serve"}, {"check"}, {"subscriptions"}, {}} {
		r := observatory(args...)
		require.Equal(t, exitUsage, r.code, args)
		require.Contains(t, r.stderr, `--config, or the variable OBSERVATORY_CONFIG, is "": expected the path`)
	}
	for _, args := range [][]string{{"version"}, {"--version"}, {"--help"}, {"check", "--help"}} {
		require.Equal(t, exitDone, observatory(args...).code, args)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWhatCannotBePrintedIsAFailure(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"check", "--help"}, {"help", "serve"}, {"version"}, {"--version"}, {"version", "--json"}} {
		var stderr bytes.Buffer
		require.Equal(t, exitFailed, Run(args, full{}, &stderr), args)
		require.Equal(t, "observatory: no space left on device\n", stderr.String(), args)
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

func TestAVariableThatIsWrongIsNamed(t *testing.T) {
	for variable, want := range map[string]string{
		"OBSERVATORY_LOG_LEVEL": `observatory: --log.level, or the variable OBSERVATORY_LOG_LEVEL, is "loud": expected one of debug, info, warning, error, critical; try --help`,
		"OBSERVATORY_JSON":      `observatory: --json, or the variable OBSERVATORY_JSON, is "loud": expected true or false; try --help`,
		"OBSERVATORY_STRICT":    `observatory: --strict, or the variable OBSERVATORY_STRICT, is "loud": expected true or false; try --help`,
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, "loud")
			require.Equal(t, result{code: exitUsage, stderr: want + "\n"}, observatory("check"))
		})
	}
}

// What [logging] takes, the flags take.
func TestTheLogIsConfiguredByTheWordsOfTheFile(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--log.level", "WARNING"}, {"--log.level", "warn"}, {"--log.level", "Critical"}, {"--log.format", "console"}, {"--log.format", "AUTO"}} {
		require.Equal(t, exitDone, observatory(append(args, "version")...).code, args)
	}
}

func TestAFileThatIsNotNamedByItsFlagIsSaidToBe(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "domain.toml"}, {"serve", "domain.toml"}, {"domain.toml"}} {
		r := observatory(args...)
		require.Equal(t, exitUsage, r.code, args)
		require.Regexp(t, `^observatory: .*domain\.toml"?; a configuration file is named by --config domain\.toml\n$`, r.stderr)
	}
}
