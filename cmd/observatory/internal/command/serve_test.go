package command

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
)

// taken is an address that is in use.
func taken(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

const anyPort = "127.0.0.1:0"

func TestATakenPortIsNamedAndSoIsWhatChangesIt(t *testing.T) {
	t.Parallel()
	address := taken(t)
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		args []string
		flag string
		key  string
	}{
		"metrics by flag": {
			[]string{"--embedded", "--web.listen-address", address, "--health.listen-address", anyPort},
			"--web.listen-address", "listen_address in [observatory]",
		},
		"metrics by file": {
			[]string{"--config", shoptest.Configure(t, `[observatory]`, `listen_address = "`+address+`"`), "--health.listen-address", anyPort},
			"--web.listen-address", "listen_address in [observatory]",
		},
		"health by flag": {
			[]string{"--embedded", "--web.listen-address", anyPort, "--health.listen-address", address},
			"--health.listen-address", "`port` (or `host`) in [server.health]",
		},
		"health by file": {
			[]string{"--config", shoptest.Configure(t, `[server.health]`, `host = "`+host+`"`, `port = `+port), "--web.listen-address", anyPort},
			"--health.listen-address", "`port` (or `host`) in [server.health]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := observatory(append([]string{"serve"}, c.args...)...)
			require.Equal(t, exitFailed, r.code)
			require.Contains(t, r.stderr, address)
			require.Contains(t, r.stderr, "address already in use")
			require.Contains(t, r.stderr, c.flag)
			require.Contains(t, r.stderr, c.key)
			require.NotContains(t, r.stderr, "stopped", "it has not run")
		})
	}
}

func TestServeReportsAllMistakesOfAFileAtOnce(t *testing.T) {
	t.Parallel()
	path, mistakes := badFile(t)
	r := observatory("serve", "--config", path)
	require.Equal(t, exitFailed, r.code)
	for _, m := range mistakes {
		require.Contains(t, r.stderr, m+"\n")
	}
	require.NotContains(t, r.stderr, "hunter2")
}

func TestServeNamesAFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nowhere.toml")
	r := observatory("serve", "--config", path)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, path+" does not exist")
	require.Contains(t, r.stderr, "--embedded")
}

func TestServeRefusesAWebConfigurationThatIsNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.yml")
	require.NoError(t, os.WriteFile(path, []byte("tls_server_config: {cert_file: nowhere.pem, key_file: nowhere.key}"), 0o600))
	r := observatory("serve", "--embedded", "--web.listen-address", anyPort, "--health.listen-address", anyPort, "--web.config.file", path)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "nowhere.pem")

	for text, want := range map[string]string{
		"basic_auth_users: hunter2":                "line 1 is not as in the Prometheus exporters' format",
		"basic_auth_users:\n  me: [hunter2]\nx: 1": "line 2, line 3 is not as in",
		"hunter2: 1":    "line 1 is not as in",
		"a: b: hunter2": "is not as in",
		"tls_server_config: {min_version: hunter2, cert_file: a, key_file: b}": "unknown TLS version: ***",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		r := observatory("serve", "--embedded", "--web.listen-address", anyPort, "--health.listen-address", anyPort, "--web.config.file", path)
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.stderr, want, text)
		require.NotContains(t, r.stderr, "hunter2", text)
	}
	r = observatory("serve", "--embedded", "--web.listen-address", anyPort, "--health.listen-address", anyPort, "--web.config.file", "/dev/zero")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "is no regular file")
}
