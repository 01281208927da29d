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

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// The stream and the group of shop/domain.py.
const (
	stream = "shop::order"
	group  = "domain.OrderMailer"
)

// limit is how long anything may take on a busy machine; waits end with what they
// wait for.
const limit = time.Minute

// shop is a Redis of its own, the file that both engines read, and what they were
// called with.
type shop struct {
	t     *testing.T
	redis *redis.Client
	env   []string
	dir   string

	mu     sync.Mutex
	ours   []string               // orders that our engine delivered, in order
	answer func(order string) int // what the application answers
}

// open starts Redis and the application that our engine delivers to.
func open(t *testing.T, claimIdleSeconds string) *shop {
	t.Helper()
	server := testserver.StartRedis(t)
	s := &shop{t: t, redis: server.Client(t), dir: t.TempDir(), answer: func(string) int { return http.StatusNoContent }}
	application := httptest.NewServer(s)
	t.Cleanup(application.Close)
	s.env = append(os.Environ(), "SHOP_REDIS="+server.URL, "SHOP_CALLS="+s.calls(), "SHOP_CLAIM="+claimIdleSeconds,
		"SHOP_APPLICATION="+application.URL, "PYTHONDONTWRITEBYTECODE=1")
	return s
}

func (s *shop) calls() string { return filepath.Join(s.dir, "calls") }

// ServeHTTP is the application.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		OrderID string `json:"order_id"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		s.t.Errorf("the application got no order: %v: %s", err, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.answer(event.OrderID)
	if status == http.StatusNoContent {
		s.ours = append(s.ours, event.OrderID)
	}
	w.WriteHeader(status)
}

// byOurs are the orders that our engine handled.
func (s *shop) byOurs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ours...)
}

// byPython are the orders that Protean's engine handled.
func (s *shop) byPython() []string {
	text, err := os.ReadFile(s.calls())
	if err != nil && !os.IsNotExist(err) {
		require.NoError(s.t, err)
	}
	var orders []string
	for line := range strings.Lines(string(text)) {
		var call struct{ Order string }
		require.NoError(s.t, json.Unmarshal([]byte(line), &call))
		orders = append(orders, call.Order)
	}
	return orders
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

// protean is a command of Protean's own tool, on the shop.
func (s *shop) protean(args ...string) *exec.Cmd {
	cmd := exec.Command(python(s.t), append([]string{"-c", "from protean.cli import app; app()"}, args...)...)
	cmd.Dir = "shop"
	cmd.Env = append(s.env, "COLUMNS=400", "NO_COLOR=1")
	return cmd
}

// publish adds the events of orders to the stream, by Protean.
func (s *shop) publish(orders ...string) {
	s.t.Helper()
	cmd := exec.Command(python(s.t), append([]string{"publish.py"}, orders...)...)
	cmd.Dir, cmd.Env = "shop", s.env
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

// orders are names that differ.
func orders(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return names
}

// engine is one of the two, as a process.
type engine struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
}

// startPython runs Protean's engine, whose calls take so long each, until it has
// joined the group.
func (s *shop) startPython(seconds float64) *engine {
	s.t.Helper()
	cmd := s.protean("server", "--domain", "domain.py")
	cmd.Env = append(cmd.Env, fmt.Sprint("SHOP_SECONDS=", seconds))
	e := s.start(cmd)
	s.eventually("Protean's engine has joined the group", func() bool {
		e.runs()
		groups, err := s.redis.XInfoGroups(s.t.Context(), stream).Result()
		return err == nil && len(groups) == 1 && groups[0].Name == group
	})
	return e
}

var observatory = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "observatory")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/observatory")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// startOurs runs our engine on the same file, until it answers.
func (s *shop) startOurs() *engine {
	s.t.Helper()
	binary, err := observatory()
	require.NoError(s.t, err)
	metrics := testserver.FreeAddress(s.t)
	cmd := exec.Command(binary, "serve", "--config", filepath.Join("shop", "domain.toml"), "--web.listen-address", metrics)
	cmd.Env = s.env
	e := s.start(cmd)
	s.eventually("our engine answers", func() bool {
		e.runs()
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+metrics+"/metrics", http.NoBody)
		require.NoError(s.t, err)
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
func (s *shop) start(cmd *exec.Cmd) *engine {
	s.t.Helper()
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(s.t, cmd.Start())
	e := &engine{t: s.t, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(e.ended)
	}()
	s.t.Cleanup(func() {
		e.end(syscall.SIGTERM)
		if s.t.Failed() {
			s.t.Logf("%s printed:\n%s", cmd, printed.String())
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
func (s *shop) eventually(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		require.True(s.t, time.Now().Before(deadline), "after %s still not: %s", limit, what)
		time.Sleep(20 * time.Millisecond)
	}
}

// pending is how many entries of the group nothing has acknowledged, of all
// consumers.
func (s *shop) pending() int64 {
	summary, err := s.redis.XPending(s.t.Context(), stream, group).Result()
	require.NoError(s.t, err)
	return summary.Count
}

// length is how many entries the stream has.
func (s *shop) length() int64 {
	n, err := s.redis.XLen(s.t.Context(), stream).Result()
	require.NoError(s.t, err)
	return n
}

// allHandled waits until each of the orders was handled by one of the engines and
// nothing is pending, and asserts that none was handled twice.
func (s *shop) allHandled(want []string) {
	s.t.Helper()
	handled := func() []string { return append(s.byPython(), s.byOurs()...) }
	s.eventually(fmt.Sprintf("%d orders are handled and acknowledged", len(want)), func() bool {
		return len(handled()) >= len(want) && s.pending() == 0
	})
	assert.ElementsMatch(s.t, want, handled())
}
