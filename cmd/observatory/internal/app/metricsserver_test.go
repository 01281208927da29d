package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/testlog"
)

func TestMetricsThatAreNoLongerServedEndTheProcess(t *testing.T) {
	t.Parallel()
	s := &metricsServer{served: make(chan error, 1)}
	ended := errors.New("listener gone")
	s.served <- ended
	require.ErrorIs(t, s.watch(t.Context()), ended)
	require.ErrorIs(t, <-s.served, ended, "close still gets it")

	stopping, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, s.watch(stopping))
}

func TestTheAddressSaysHTTPSOnlyWhereThereIsTLS(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"basic_auth_users:\n  ann: x\n":          "http://0.0.0.0:9000/metrics",
		"tls_server_config:\n  cert_file: c.pem": "https://0.0.0.0:9000/metrics",
	} {
		path := filepath.Join(t.TempDir(), "web.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		a := &App{options: Options{WebConfigFile: path}}
		require.Equal(t, want, a.url("0.0.0.0:9000"))
	}
}

// `localhost` would hide who can reach it.
func TestAnAddressThatMeansEveryInterfaceIsPrintedAsSuch(t *testing.T) {
	t.Parallel()
	var printed testlog.Output
	a := &App{options: Options{Stderr: &printed}, config: Configuration{Config: &config.Config{}}, metrics: "[::]:9000"}
	a.printAddresses("0.0.0.0:8080")
	require.Contains(t, printed.String(), "  metrics        http://[::]:9000/metrics (on every interface)\n")
	require.Contains(t, printed.String(), "  health         http://0.0.0.0:8080/readyz (on every interface)\n")
	require.Contains(t, printed.String(), "curl -s http://localhost:9000/metrics ")

	var local testlog.Output
	a.metrics, a.options.Stderr = "127.0.0.1:9000", &local
	a.printAddresses("127.0.0.1:8080")
	require.NotContains(t, local.String(), "every interface")
}

func TestTheReadmeShowsTheCommandThatIsPrinted(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../../README.md")
	require.NoError(t, err)
	command := "curl -s http://127.0.0.1:9000/metrics | grep -E '" + figuresToTry + "'\n"
	require.Equal(t, 2, strings.Count(string(readme), command))
	shown := regexp.MustCompile(figuresToTry)
	_, block, _ := strings.Cut(string(readme), "$ "+command)
	block, _, _ = strings.Cut(block, "```")
	for line := range strings.Lines(block) {
		require.Regexp(t, shown, line)
	}
}
