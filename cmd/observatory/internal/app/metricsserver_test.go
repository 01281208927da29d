package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
		"basic_auth_users:\n  ann: x\n":          "http://localhost:9000/metrics",
		"tls_server_config:\n  cert_file: c.pem": "https://localhost:9000/metrics",
	} {
		path := filepath.Join(t.TempDir(), "web.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		a := &App{options: Options{WebConfigFile: path}}
		require.Equal(t, want, a.url("0.0.0.0:9000"))
	}
}
