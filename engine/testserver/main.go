package testserver

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests, stops the servers that they shared, and returns the code
// to exit with: 1 also where goroutines are left behind. Options are goleak's.
func Main(m *testing.M, options ...goleak.Option) int {
	shared.running.Store(true)
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		code = max(code, 1)
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(options...); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		return 1
	}
	return 0
}

// shared are the servers of this test binary, each started by the first test
// that needs it.
var shared servers

type servers struct {
	running atomic.Bool

	mu       sync.Mutex
	stoppers []func() error
}

// require fails a test whose package would leave its servers running.
func (s *servers) require(t testing.TB) {
	t.Helper()
	if !s.running.Load() {
		t.Fatal("testserver: the package's TestMain must be: os.Exit(testserver.Main(m))")
	}
}

// atEnd keeps what ends a server; the last kept runs first.
func (s *servers) atEnd(stop func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stoppers = append(s.stoppers, stop)
}

func (s *servers) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stop := range slices.Backward(s.stoppers) {
		errs = append(errs, stop())
	}
	s.stoppers = nil
	return errors.Join(errs...)
}

var names atomic.Int64

// Name returns a name that no other call gets, also not one in another process:
// a prefix for a test's keys. It consists of lower-case letters, digits and
// underscores, begins with a letter and is at most 48 bytes long.
func Name(t testing.TB) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, t.Name())
	unique := fmt.Sprintf("_%x_%x", os.Getpid(), names.Add(1))
	return "t" + clean[:min(len(clean), 47-len(unique))] + unique
}
