package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
)

// badFile has a mistake in each of its sections, and a secret.
func badFile(t *testing.T) (path string, mistakes []string) {
	t.Helper()
	path = shoptest.Configure(t,
		`[brokers.default]`, `provider = "reddis"`,
		`[databases.default]`, `provider = "postgresql"`, `pool_size = 0`,
		`[server.health]`, `port = 99999`,
		`[observatory.handlers.Mailer]`, `deliver = "ftp://mailer:hunter2@x"`)
	return path, []string{
		path + `: [brokers.default] URI: is missing: expected the server's URL, such as redis://127.0.0.1:6379/0`,
		path + `: [brokers.default] provider = "reddis": expected one of redis, redis_pubsub, inline; did you mean "redis"?`,
		path + `: [databases.default] database_uri: is missing: expected the server's URL, such as postgresql://user@127.0.0.1:5432/database`,
		path + `: [databases.default] pool_size = 0: expected a whole number from 1 to 10000; SQLAlchemy's 0, a pool without limit, is max_overflow = -1 here`,
		path + `: [observatory.handlers.Mailer] deliver = "ftp://***@x": expected "log:" or a URL such as "http://127.0.0.1:8000/events"`,
		path + `: [observatory.handlers.Mailer] stream: is missing: expected the stream to read, such as "shop::order"`,
		path + `: [server.health] port = 99999: expected a port from 0 to 65535`,
	}
}

// consumesNothing is the end of a report on a file without handlers.
const consumesNothing = `  the file has no handlers: observatory serve consumes nothing; add [observatory.handlers.<name>], or register handlers in a Go program

`

func TestCheckPassesACleanFile(t *testing.T) {
	t.Parallel()
	r := observatory("check", "--config", shoptest.Configure(t, `[observatory]`, `name = "shop"`))
	require.Equal(t, result{code: exitDone, stdout: `
  Domain: shop  PASS
  Environment: none (PROTEAN_ENV is not set)
  All checks passed.
` + consumesNothing}, r)
	r = observatory("check", "--config", shoptest.Configure(t, `[brokers.default]`, `provider = "redis"`, `URI = "redis://127.0.0.1:1/0"`,
		`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "log:"`))
	require.Equal(t, "\n  Domain: shop  PASS\n  Environment: none (PROTEAN_ENV is not set)\n  All checks passed.\n\n", r.stdout)
}

func TestCheckWarnsOfAnUnknownKey(t *testing.T) {
	t.Parallel()
	r := observatory("check", "--config", shoptest.Configure(t, `[observatory]`, `name = "shop"`, `colour = "red"`))
	require.Equal(t, result{code: exitWarnings, stdout: `
  Domain: shop  WARN
  Environment: none (PROTEAN_ENV is not set)
  1 warning(s)

  Warnings (1):
    ! UNKNOWN_KEY: [observatory] colour: unknown key
` + consumesNothing}, r)
}

func TestCheckStrictTakesWarningsForErrors(t *testing.T) {
	t.Parallel()
	r := observatory("check", "--strict", "--config", shoptest.Configure(t, `[observatory]`, `name = "shop"`, `colour = "red"`))
	require.Equal(t, result{code: exitFailed, stdout: `
  Domain: shop  FAIL
  Environment: none (PROTEAN_ENV is not set)
  1 error(s)

  Errors (1):
    ✗ [observatory] colour: unknown key
` + consumesNothing}, r)
	r = observatory("check", "--strict", "--config", shoptest.Configure(t, `[observatory]`, `name = "shop"`))
	require.Equal(t, exitDone, r.code)
}

func TestCheckFindsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	path, mistakes := badFile(t)
	want := "\n  Domain: " + path + "  FAIL\n  Environment: none (PROTEAN_ENV is not set)\n  7 error(s)\n\n  Errors (7):\n"
	for _, m := range mistakes {
		want += "    ✗ " + m + "\n"
	}
	require.Equal(t, result{code: exitFailed, stdout: want + "\n"}, observatory("check", "--config", path))
}

// Each of these was found by a later step than the one before it.
func TestCheckFindsMistakesOfEveryKindAtOnce(t *testing.T) {
	t.Parallel()
	path := shoptest.Configure(t,
		`source_uri = "%zz"`,
		`[brokers.default]`, `provider = "redis"`, `URI = "rediss://h:70000/zero?ssl_cert_reqs=sometimes&sockettimeout=1"`,
		`[databases.default]`, `provider = "postgresql"`, `database_uri = "postgresql://h:notaport/d?sslmode=sometimes"`,
		`[observatory.handlers."a b"]`, `stream = "shop::order"`, `deliver = "log:"`,
		`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "http://h:70000/"`, `group = "g"`,
		`[observatory.handlers.Report]`, `stream = "shop::order"`, `deliver = "log:"`, `group = "g"`,
		`[observatory.handlers.Third]`, `stream = "shop::order"`, `deliver = "log:"`, `group = ""`,
	)
	r := observatory("check", "--config", path)
	require.Equal(t, exitFailed, r.code)
	for _, want := range []string{
		`source_uri = "%zz": expected a URI`,
		`[brokers.default] URI = "rediss://h:70000/zero?***&***": expected a port from 1 to 65535`,
		`: expected as its database a whole number`, `: expected as its parameter ssl_cert_reqs one of`, `; did you mean "socket_timeout"?`,
		`[databases.default] database_uri = "postgresql://***": expected a port from 1 to 65535`, `: expected as its parameter sslmode one of`,
		`[observatory.handlers."a b"]: expected a name without spaces`,
		`[observatory.handlers.Mailer] deliver = "http://h:70000/": expected a port from 1 to 65535`,
		`[observatory.handlers.Report] group = "g": expected a group of its own: handler Mailer reads the same stream with it`,
		`[observatory.handlers.Third] group = "": expected a text that is not empty`,
	} {
		require.Contains(t, r.stdout, want)
	}
	require.Contains(t, r.stdout, "11 error(s)")
}

func TestCheckForProgramsIsJSON(t *testing.T) {
	t.Parallel()
	path, mistakes := badFile(t)
	r := observatory("check", "--json", "--config", path)
	require.Equal(t, exitFailed, r.code)
	var report struct {
		Counts      map[string]int
		Diagnostics []struct{ Code, Element, Level, Message string }
		Domain      string
		Status      string
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report))
	require.Equal(t, map[string]int{"errors": 7, "infos": 0, "warnings": 0}, report.Counts)
	require.Equal(t, "fail", report.Status)
	require.Len(t, report.Diagnostics, 7)
	for i, d := range report.Diagnostics {
		require.Equal(t, mistakes[i], d.Message)
		require.Equal(t, "error", d.Level)
	}
	require.Equal(t, "brokers.default.URI", report.Diagnostics[0].Element)
}

// What a handler needs and this program does not have is a mistake too.
func TestCheckFindsAHandlerWithoutAnAdapter(t *testing.T) {
	t.Parallel()
	r := observatory("check", "--config", shoptest.Configure(t,
		`[brokers.default]`, `provider = "redis_pubsub"`, `URI = "redis://127.0.0.1:1"`,
		`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "log:"`))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stdout, `handler Mailer reads the broker "default", whose provider "redis_pubsub" this program has no adapter for`)
}

func TestCheckWithoutAFileFails(t *testing.T) {
	r := observatory("check", "--config", filepath.Join(t.TempDir(), "nowhere.toml"))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "nowhere.toml does not exist")

	nowhere := filepath.Join(t.TempDir(), "a", "b", "c")
	require.NoError(t, os.MkdirAll(nowhere, 0o755))
	t.Chdir(nowhere)
	r = observatory("check")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "no configuration file found")
	require.Contains(t, r.stderr, "--config")
}

// A file that keeps everything in memory runs, and nothing ever arrives.
func TestCheckFindsAForgottenProvider(t *testing.T) {
	t.Parallel()
	handler := []string{`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `deliver = "log:"`}
	const warning = `IN_MEMORY: [brokers.default] provider: "inline" is in the memory of this process: nothing that other programs publish reaches handler Mailer; expected provider = "redis" and a URI`
	for name, c := range map[string]struct {
		broker []string
		code   int
		want   string
	}{
		"no provider": {
			[]string{`[brokers.default]`, `URI = "redis://:hunter2@h:6379/0"`},
			exitFailed,
			`[brokers.default] URI = "redis://***@h:6379/0": expected the provider beside it, such as provider = "redis"; without one all is kept in memory`,
		},
		"another broker": {
			[]string{`[brokers.main]`, `provider = "redis"`, `URI = "redis://h"`},
			exitWarnings,
			warning + "; or name the broker that each of them reads (broker = …): [brokers.main]\n",
		},
		"no broker": {nil, exitWarnings, warning + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := observatory("check", "--config", shoptest.Configure(t, append(handler, c.broker...)...))
			require.Equal(t, c.code, r.code, r.stdout)
			require.Contains(t, r.stdout, c.want)
		})
	}
}

func TestCheckSaysWhichEnvironmentWasTaken(t *testing.T) {
	path := shoptest.Configure(t, `[observatory]`, `name = "shop"`, `[production.observatory]`, `name = "live"`)
	t.Setenv("PROTEAN_ENV", "production")
	r := observatory("check", "--config", path)
	require.Equal(t, exitDone, r.code)
	require.Contains(t, r.stdout, "\n  Domain: live  PASS\n  Environment: production (PROTEAN_ENV; its table in the file was laid over the rest)\n")
	require.Contains(t, observatory("check", "--json", "--config", path).stdout, `"environment": "production"`)

	t.Setenv("PROTEAN_ENV", "prod")
	r = observatory("check", "--config", path)
	require.Equal(t, exitWarnings, r.code)
	require.Contains(t, r.stdout, "\n  Domain: shop  WARN\n  Environment: prod (PROTEAN_ENV; the file has no table for it)\n")
	require.Contains(t, r.stdout, `NO_ENVIRONMENT: PROTEAN_ENV: the file has no table for "prod", so that what it says for all environments holds; it has tables for production; did you mean "production"?`)
}
