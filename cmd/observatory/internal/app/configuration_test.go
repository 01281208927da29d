package app_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
)

// taken is the configuration that an app prints that it took, before anything else.
func taken(t *testing.T, o app.Options) string {
	t.Helper()
	lines := strings.Split(start(t, o).printed.String(), "\n")
	require.Regexp(t, `^observatory \S+$`, lines[0])
	label, configuration, found := strings.Cut(strings.TrimSpace(lines[1]), " ")
	require.True(t, found, lines[1])
	require.Equal(t, "configuration", label)
	return strings.TrimSpace(configuration)
}

// descend makes a folder some generations down and goes there.
func descend(t *testing.T, generations int) (top string) {
	t.Helper()
	// Its own parents are out of reach, whatever lies in the folder for
	// temporary files.
	top = filepath.Join(t.TempDir(), "far", "away", "top")
	here := filepath.Join(top, filepath.Join([]string{"child", "grandchild", "great-grandchild"}[:generations]...))
	require.NoError(t, os.MkdirAll(here, 0o755))
	t.Chdir(here)
	return top
}

const memoryFile = "[observatory]\nname = \"shop\"\n"

func TestTheFirstLinesNameTheFileThatWasFound(t *testing.T) {
	for name, generations := range map[string]int{"here": 0, "in the parent": 1, "in the grandparent": 2} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(descend(t, generations), "domain.toml")
			require.NoError(t, os.WriteFile(path, []byte(memoryFile), 0o600))
			got := taken(t, app.Options{})
			require.Contains(t, got, path+" (found")
			require.Contains(t, got, "--embedded")
		})
	}
}

func TestTheFirstLinesSayThatNoFileWasFound(t *testing.T) {
	path := filepath.Join(descend(t, 3), "domain.toml")
	require.NoError(t, os.WriteFile(path, []byte(memoryFile), 0o600), "too far up")
	got := taken(t, app.Options{})
	require.Contains(t, got, "embedded sample (no domain.toml")
}

func TestTheFirstLinesNameTheFileThatWasAskedFor(t *testing.T) {
	t.Parallel()
	path := shoptest.Configure(t, memoryFile)
	require.Contains(t, taken(t, app.Options{ConfigPath: path}), path+" (named by --config)")
}

func TestEmbeddedTakesNoFileWhateverLiesAround(t *testing.T) {
	path := filepath.Join(descend(t, 0), "domain.toml")
	require.NoError(t, os.WriteFile(path, []byte("this is no TOML"), 0o600))
	got := taken(t, app.Options{Embedded: true})
	require.Contains(t, got, "embedded sample (asked for by --embedded; no file was read)")
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nowhere.toml")
	_, err := app.New(context.Background(), app.Options{ConfigPath: path, Stderr: io.Discard})
	require.EqualError(t, err, "configuration file "+path+" does not exist; name another with --config, or use --embedded")
}

func TestAFileWithoutHandlersSaysSo(t *testing.T) {
	t.Parallel()
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t, memoryFile)})
	require.Contains(t, r.printed.String(), "none: nothing is consumed; add [observatory.handlers.<name>]")
	r.becomes(1, "protean_engine_up", "domain", "shop")
}

// What runs, where it reads and delivers, and who can reach it.
func TestTheFirstLinesSayWhereMessagesComeFromAndGo(t *testing.T) {
	t.Setenv("PROTEAN_ENV", "prod")
	r := start(t, app.Options{ConfigPath: shoptest.Configure(t,
		"[brokers.default]\nprovider = \"redis\"\nURI = \"redis://shop:hunter2@127.0.0.1:1/0\"",
		"[observatory.handlers.Mailer]\nstream = \"shop::order\"\ndeliver = \"http://me:hunter2@127.0.0.1:1/events?key=hunter2\"",
		"[production.brokers.default]\nURI = \"redis://live.internal:6379/0\"")})
	r.until("all is printed", func() bool { return strings.Contains(r.printed.String(), "  try ") })
	printed := r.printed.String()
	for _, want := range []string{
		"  environment    prod (PROTEAN_ENV; the file has no table for it)\n",
		`did you mean \"production\"?`,
		"  brokers        default: redis, redis://***@127.0.0.1:1/0\n",
		"  handlers       Mailer <- shop::order -> http://127.0.0.1:1/events\n",
	} {
		require.Contains(t, printed, want)
	}
	require.NotContains(t, printed, "hunter2")

	r = start(t, app.Options{ConfigPath: shoptest.Configure(t, "[observatory.handlers.Mailer]\nstream = \"shop::order\"\ndeliver = \"log:\"")})
	r.until("all is printed", func() bool { return strings.Contains(r.printed.String(), "  try ") })
	printed = r.printed.String()
	require.Contains(t, printed, "  brokers        default: inline, in the memory of this process\n")
	require.Contains(t, printed, "nothing that other programs publish reaches handler Mailer")
	require.Contains(t, printed, "  handlers       Mailer <- shop::order -> log:\n")
}
