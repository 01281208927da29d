package testserver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/observatory-go/observatory/engine/testlog"
)

// startLimit bounds how long a server may take until it answers, stopLimit how
// long it may take to end before it is killed.
const (
	startLimit = 30 * time.Second
	stopLimit  = 30 * time.Second
)

// process is a server that runs as a child of the test binary.
type process struct {
	cmd    *exec.Cmd
	output testlog.Output
	ended  chan struct{} // closed when the child is gone
}

// start runs path with args, as owner unless that is nil.
func start(owner *syscall.Credential, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	dieWithParent(p.cmd.SysProcAttr)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// run keeps its thread until the child ends: Linux sends the signal for a dead
// parent when the thread that started the child is gone.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is in its output
	}
}

// await polls ready until it answers, the child ends or the limit is over.
func (p *process) await(ready func() error) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.tail())
		case <-limit.C:
			return fmt.Errorf("%s does not answer after %s: %w: %s", p.cmd.Path, startLimit, err, p.tail())
		case <-tick.C:
		}
	}
}

// stop sends the child a signal to end, and kills it if it does not.
func (p *process) stop(signal syscall.Signal) error {
	_ = p.cmd.Process.Signal(signal) // it may be gone already
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s of %s and was killed", p.cmd.Path, stopLimit, signal)
	}
}

// tail is the end of what the child printed, where servers report why they end.
func (p *process) tail() string {
	text := strings.TrimSpace(p.output.String())
	return text[max(0, len(text)-2000):]
}

// find searches a program in the PATH, then in folders given as patterns.
func find(name, install string, folders ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range folders {
		matches, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(matches) > 0 {
			return matches[len(matches)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not in the PATH nor in %v: %s", name, folders, install)
}

// FreeAddress returns 127.0.0.1 with a port that is not in use now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}

// FreePort returns a loopback port that is not in use now.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal("testserver:", err)
	}
	return port
}

// given are the ports that this process was given: one is not given twice.
var given sync.Map

// freePort picks by chance from below the ports that systems give to outgoing
// connections: those are taken and given back all the time.
func freePort() (int, error) {
	const first, last = 10_000, 32_000
	var err error
	for range 100 {
		port := first + rand.N(last-first)
		if _, again := given.LoadOrStore(port, true); again {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// folder makes a temporary folder that belongs to owner.
func folder(owner *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp("", "testserver")
	if err != nil {
		return "", fmt.Errorf("make a folder for the server: %w", err)
	}
	if owner == nil {
		return dir, nil
	}
	return dir, os.Chown(dir, int(owner.Uid), int(owner.Gid))
}
