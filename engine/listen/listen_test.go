package listen

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves h on a listener with room for so many connections.
func serve(t *testing.T, most int, h http.HandlerFunc) *Listener {
	t.Helper()
	l, err := TCP("127.0.0.1:0")
	require.NoError(t, err)
	l.most = most
	server := &http.Server{Handler: h}
	l.Protect(server)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return l
}

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// ask sends a request and returns the status of the answer.
func ask(t *testing.T, c net.Conn) int {
	t.Helper()
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func ok(http.ResponseWriter, *http.Request) {}

func TestTheConnectionThatWaitedLongestMakesRoom(t *testing.T) {
	t.Parallel()
	l := serve(t, 3, ok)
	used, silent, kept := dial(t, l), dial(t, l), dial(t, l)
	_, err := io.WriteString(silent, "GET / HTTP/1.1\r\nHost: ") // the rest does not come
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, ask(t, kept)) // it was accepted last: all three are
	require.Equal(t, http.StatusOK, ask(t, used)) // now it waits for less long than the silent one
	require.Equal(t, http.StatusOK, ask(t, dial(t, l)))
	_, err = silent.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Equal(t, http.StatusOK, ask(t, used), "the others stay")
	require.Equal(t, http.StatusOK, ask(t, kept))
}

func TestAConnectionThatIsBeingAnsweredIsKept(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	l := serve(t, 1, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave })
	busy := dial(t, l)
	_, err := io.WriteString(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NoError(t, err)
	<-entered
	refused := dial(t, l)
	_, err = refused.Read(make([]byte, 1))
	require.Error(t, err, "there is no room")
	close(leave)
	resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// starved runs out of descriptors until the listener gives one free.
type starved struct {
	net.Listener
	of *Listener
}

func (s starved) Accept() (net.Conn, error) {
	s.of.mu.Lock()
	spare := len(s.of.spare)
	s.of.mu.Unlock()
	if spare == spareDescriptors {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

func TestAProcessWithoutDescriptorsStillAnswers(t *testing.T) {
	t.Parallel()
	l, err := TCP("127.0.0.1:0")
	require.NoError(t, err)
	l.Listener = starved{l.Listener, l}
	c := dial(t, l)
	accepted, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, accepted.Close())
	require.Len(t, l.spare, spareDescriptors, "the reserve is filled up again")
	require.NoError(t, c.Close())
	require.NoError(t, l.Close())
	require.Empty(t, l.spare)
}

func TestClosedConnectionsGiveTheirRoomBack(t *testing.T) {
	t.Parallel()
	l := serve(t, 2, ok)
	for range 20 {
		c := dial(t, l)
		require.Equal(t, http.StatusOK, ask(t, c))
		require.NoError(t, c.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.LessOrEqual(t, len(l.open), 2)
	require.Len(t, l.spare, spareDescriptors)
}
