package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limit is how long anything here may take on a busy machine; everything that
// is waited for ends the wait when it happens.
const limit = 2 * time.Minute

// process is a program under test that runs until the test ends.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string

	ended chan struct{} // closed when it is gone; err is set then
	err   error
}

// start runs a program and has it stopped by its id at the end of the test. What
// it printed is shown if the test failed.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{
		name: filepath.Base(program), cmd: exec.Command(program, args...),
		log: filepath.Join(t.TempDir(), "log"), ended: make(chan struct{}),
	}
	out, err := os.Create(p.log)
	require.NoError(t, err)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	require.NoError(t, p.cmd.Start())
	require.NoError(t, out.Close())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.stop(t) // a test that stops it checks how it ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.printed())
		}
	})
	return p
}

func (p *process) printed() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stop ends the program by SIGTERM and returns how it ended; again, the same.
func (p *process) stop(t *testing.T) error {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Errorf("%s did not end within %s of SIGTERM", p.name, limit)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.err
}

// get asks one of the servers of this test, and leaves no connection behind.
func get(t *testing.T, url string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	request.Close = true
	return http.DefaultClient.Do(request)
}

// answers waits until url is answered with 200, or the program has ended.
func (p *process) answers(t *testing.T, url string) {
	t.Helper()
	eventually(t, url+" answers", func() bool {
		select {
		case <-p.ended:
			require.FailNow(t, p.name+" ended", "%v", p.err)
		default:
		}
		response, err := get(t, url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// eventually polls until the condition holds: for what has no event to wait for.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !yes() {
		require.True(t, time.Now().Before(deadline), "after %s still not: %s", limit, what)
		time.Sleep(100 * time.Millisecond)
	}
}

// program finds one of several names: Debian puts its own in front of some.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.FailNow(t, "none of these programs is installed", "%v", names)
	return ""
}
