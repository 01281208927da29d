package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// limit is how long anything may take on a busy machine; waits end with what they
// wait for.
const limit = time.Minute

// project is a folder with a domain of Protean's and the file that both engines
// read, and what they were called with.
type project struct {
	t      *testing.T
	folder string
	field  string // of the payload, that tells one event from another
	env    []string
	calls  string // the file to which Protean's handler adds a line for each call

	mu     sync.Mutex
	ours   []string            // what our engine delivered, in order
	answer func(id string) int // what the application answers
}

// open starts the application that our engine delivers to. Variables are for the
// file of the folder.
func open(t *testing.T, folder, field string, variables ...string) *project {
	t.Helper()
	_, err := observatory() // before anything waits for it
	require.NoError(t, err)
	p := &project{
		t: t, folder: folder, field: field, calls: filepath.Join(t.TempDir(), "calls"),
		answer: func(string) int { return http.StatusNoContent },
	}
	application := httptest.NewServer(p)
	t.Cleanup(application.Close)
	p.env = append(os.Environ(), "CALLS="+p.calls, "APPLICATION="+application.URL, "PYTHONDONTWRITEBYTECODE=1")
	p.env = append(p.env, variables...)
	return p
}

// ServeHTTP is the application.
func (p *project) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event map[string]string
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		p.t.Errorf("the application got no event: %v: %s", err, body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	status := p.answer(event[p.field])
	if status == http.StatusNoContent {
		p.ours = append(p.ours, event[p.field])
	}
	w.WriteHeader(status)
}

// byOurs is what our engine handled.
func (p *project) byOurs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ours...)
}

// byPython is what Protean's engine handled.
func (p *project) byPython() []string {
	text, err := os.ReadFile(p.calls)
	if err != nil && !os.IsNotExist(err) {
		require.NoError(p.t, err)
	}
	var ids []string
	for line := range strings.Lines(string(text)) {
		var call struct{ ID string }
		require.NoError(p.t, json.Unmarshal([]byte(line), &call))
		ids = append(ids, call.ID)
	}
	return ids
}

// python is the interpreter that has Protean.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PROTEAN_PYTHON")
	if path == "" {
		path = filepath.Join(".venv", "bin", "python")
	}
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "Protean is not installed: run `make protean`, or name a Python that has it by PROTEAN_PYTHON")
	return path
}

// protean is a command of Protean's own tool, on the project.
func (p *project) protean(args ...string) *exec.Cmd {
	return p.python(append([]string{"-c", "from protean.cli import app; app()"}, args...)...)
}

// python is a command of the interpreter, in the project's folder.
func (p *project) python(args ...string) *exec.Cmd {
	cmd := exec.Command(python(p.t), args...)
	cmd.Dir, cmd.Env = p.folder, append(p.env, "COLUMNS=400", "NO_COLOR=1")
	return cmd
}

// run runs a command, which must succeed, and returns what it printed, on one line.
func (p *project) run(cmd *exec.Cmd) string {
	p.t.Helper()
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%s:\n%s", cmd, out)
	return strings.Join(strings.Fields(string(out)), " ")
}

// names are n names that differ.
func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return all
}

// engine is one of the two, as a process.
type engine struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
}

// startPython runs Protean's engine.
func (p *project) startPython(variables ...string) *engine {
	p.t.Helper()
	cmd := p.protean("server", "--domain", "domain.py")
	cmd.Env = append(cmd.Env, variables...)
	return p.start(cmd)
}

// binaryFolder has our engine's binary, once a test has asked for it.
var binaryFolder string

// observatory builds the binary of our engine and returns its path.
var observatory = sync.OnceValues(func() (string, error) {
	var err error
	if binaryFolder, err = os.MkdirTemp("", "interop-"); err != nil {
		return "", err
	}
	binary := filepath.Join(binaryFolder, "observatory")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/observatory")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// startOurs runs our engine on the same file, until it answers.
func (p *project) startOurs() *engine {
	p.t.Helper()
	binary, err := observatory()
	require.NoError(p.t, err)
	metrics := testserver.FreeAddress(p.t)
	cmd := exec.Command(binary, "serve", "--config", filepath.Join(p.folder, "domain.toml"), "--web.listen-address", metrics)
	cmd.Env = p.env
	e := p.start(cmd)
	p.eventually("our engine answers", func() bool {
		e.runs()
		request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+metrics+"/metrics", http.NoBody)
		require.NoError(p.t, err)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return e
}

// start runs an engine until the test ends, and shows what it printed if the test
// failed.
func (p *project) start(cmd *exec.Cmd) *engine {
	p.t.Helper()
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(p.t, cmd.Start())
	e := &engine{t: p.t, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(e.ended)
	}()
	p.t.Cleanup(func() {
		e.end(syscall.SIGTERM)
		if p.t.Failed() {
			p.t.Logf("%s printed:\n%s", cmd, printed.String())
		}
	})
	return e
}

// runs fails the test where the engine ended by itself.
func (e *engine) runs() {
	e.t.Helper()
	select {
	case <-e.ended:
		require.FailNow(e.t, "the engine ended", "%s", e.cmd)
	default:
	}
}

// end sends a signal and waits until the engine is gone.
func (e *engine) end(signal syscall.Signal) {
	_ = e.cmd.Process.Signal(signal) // it may be gone
	select {
	case <-e.ended:
	case <-time.After(limit):
		e.t.Errorf("process %d did not end within %s of %s", e.cmd.Process.Pid, limit, signal)
		_ = e.cmd.Process.Kill()
		<-e.ended
	}
}

// eventually polls until the condition holds.
func (p *project) eventually(what string, holds func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		require.True(p.t, time.Now().Before(deadline), "after %s still not: %s", limit, what)
		time.Sleep(20 * time.Millisecond)
	}
}
