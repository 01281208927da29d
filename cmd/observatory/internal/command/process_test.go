package command

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// limit bounds what a test waits for; it is never waited out.
const limit = time.Minute

const stream = shoptest.Stream

// process is the program as a process of its own.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr testlog.Output
	metrics        string // host:port
	health         string // host:port
	ended          chan struct{}
}

// serveShop runs the program over a Redis of its own, with one handler Mailer
// whose section has these lines, and returns when its subscription has joined.
func serveShop(t *testing.T, server *testserver.RedisProcess, handler ...string) *process {
	t.Helper()
	return serveShopTo(t, server, nil, nil, handler...)
}

// serveShopTo is serveShop with these for standard output and error; nil keeps
// what is written.
func serveShopTo(t *testing.T, server *testserver.RedisProcess, stdout, stderr *os.File, handler ...string) *process {
	t.Helper()
	return serveFile(t, stdout, stderr, append([]string{
		`[brokers.default]`, `provider = "redis"`, fmt.Sprintf("URI = %q", server.URL),
		`[observatory]`, `name = "shop"`, `shutdown_timeout_seconds = 30`,
		`[observatory.handlers.Mailer]`, fmt.Sprintf("stream = %q", stream),
	}, handler...)...)
}

// serveFile runs the program with a file of these lines, whose domain is shop, and
// returns when its one subscription has joined.
func serveFile(t *testing.T, stdout, stderr *os.File, lines ...string) *process {
	t.Helper()
	p := &process{t: t, metrics: testserver.FreeAddress(t), health: testserver.FreeAddress(t), ended: make(chan struct{})}
	p.prepare("serve", "--config", shoptest.Configure(t, lines...), "--web.listen-address", p.metrics, "--health.listen-address", p.health)
	p.cmd.Env = append(p.cmd.Env, "PROTEAN_ENV=test")
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	p.start()
	p.until("it has joined", func() bool {
		return strings.Contains(p.scrape(), "protean_engine_active_subscriptions{domain=\"shop\"} 1\n")
	})
	return p
}

// startProcess runs the program with these arguments, and with these variables
// (NAME=value) beside those of the test.
func startProcess(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	p.prepare(args...)
	p.cmd.Env = append(p.cmd.Env, variables...)
	p.start()
	return p
}

func (p *process) prepare(args ...string) {
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
}

// start starts what was prepared; it is killed at the end of the test.
func (p *process) start() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // exits returns the code
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
}

// until polls until the condition holds.
func (p *process) until(what string, yes func() bool) {
	p.t.Helper()
	expired := time.After(limit)
	for !yes() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-p.ended:
			require.FailNow(p.t, "the program ended", "before: %s\n%s", what, &p.stderr)
		case <-expired:
			require.FailNow(p.t, "never: "+what, "%s", &p.stderr)
		}
	}
}

// next waits for what comes from a channel.
func next[T any](p *process, from <-chan T) (got T) {
	p.t.Helper()
	select {
	case got = <-from:
	case <-p.ended:
		require.FailNow(p.t, "the program ended", "%s", &p.stderr)
	case <-time.After(limit):
		require.FailNow(p.t, "nothing came", "%s", &p.stderr)
	}
	return got
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// exits waits for the end and returns the exit code.
func (p *process) exits() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		require.FailNow(p.t, "it does not end", "%s", &p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// scrape is the exposition; empty while the port is closed.
func (p *process) scrape() string {
	_, body := shoptest.Get(p.t, "http://"+p.metrics+"/metrics")
	return body
}
