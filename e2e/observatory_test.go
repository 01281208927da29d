package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// The handler of this test and the stream that it is on.
const (
	domain  = "shop"
	handler = "OrderMailer"
	stream  = "shop::order"
)

// serve builds the observatory and runs it over the given servers, its handler
// delivering to the application at target; sections are added to its file. It
// returns the process and the address of its /metrics.
func serve(t *testing.T, redisURL, postgresURL, target string, sections ...string) (*process, string) {
	t.Helper()
	metrics := testserver.FreeAddress(t)
	config := writeConfig(t, redisURL, postgresURL, target, testserver.FreeAddress(t), sections...)
	p := start(t, build(t), "serve", "--config", config, "--web.listen-address", metrics, "--log.level", "info")
	p.answers(t, "http://"+metrics+"/metrics")
	return p, metrics
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "observatory")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/observatory")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func writeConfig(t *testing.T, redisURL, postgresURL, target, health string, sections ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(health)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "domain.toml")
	text := fmt.Sprintf(`
[brokers.default]
provider = "redis"
URI = %q

[databases.default]
provider = "postgresql"
database_uri = %q

[server.health]
host = %q
port = %s

[server.subscriptions.%s]
max_retries = 3
retry_delay_seconds = 0.1

[observatory]
name = %q

[observatory.handlers.%s]
stream = %q
deliver = %q
`, redisURL, postgresURL, host, port, handler, domain, handler, stream, target) + strings.Join(sections, "\n")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
