package command

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// With few descriptors, clients that connect and ask nothing take neither the
// probes nor the metrics away from those that ask.
func TestIdleClientsDoNotKeepProbesFromBeingAnswered(t *testing.T) {
	t.Parallel()
	p := &process{t: t, metrics: testserver.FreeAddress(t), health: testserver.FreeAddress(t), ended: make(chan struct{})}
	p.cmd = exec.Command("sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, os.Args[0], "serve", "--embedded",
		"--web.listen-address", p.metrics, "--health.listen-address", p.health)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	p.until("it answers", func() bool { return p.scrape() != "" && p.get(p.health, "/livez") == http.StatusOK })

	for _, address := range []string{p.metrics, p.health, p.metrics} {
		for range 50 {
			idle, err := net.Dial("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { _ = idle.Close() })
		}
		for range 3 {
			require.Equal(t, http.StatusOK, p.get(p.health, "/livez"), "after idle clients of %s", address)
			require.Equal(t, http.StatusOK, p.get(p.metrics, "/metrics"), "after idle clients of %s", address)
		}
	}
}

// get asks on a connection of its own and returns the status, 0 for no answer in
// the time that a prober waits.
func (p *process) get(address, path string) int {
	p.t.Helper()
	conn, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
