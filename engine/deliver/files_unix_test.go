//go:build unix

package deliver

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

// It changes the process: no other test runs beside it.
func TestALackOfFileDescriptorsIsNotTheTargets(t *testing.T) { //nolint:paralleltest // see above
	srv, got := application(t)
	byAddress := to(t, srv.URL)
	byName := to(t, "http://nothing.invalid")
	withFile := to(t, srv.URL, func(c *HTTPConfig) {
		c.Headers = func() (map[string]string, error) {
			_, err := os.ReadFile("testdata/messages.jsonl")
			return nil, err
		}
	})
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	lowered := limit
	lowered.Cur = 3
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lowered))
	defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)) }()

	for name, h := range map[string]*HTTP{"socket": byAddress, "look-up": byName, "file": withFile} {
		err := h.Handle(t.Context(), order())
		require.Equal(t, handler.Down, outcome(err), name)
		require.ErrorContains(t, err, "this process is out of file descriptors, not the target: raise its limit of 3 open files", name)
	}
	require.Empty(t, got)
}
