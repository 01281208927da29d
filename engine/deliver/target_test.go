package deliver

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// closedAddress is a loopback address that refuses connections.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// hanging never answers.
func hanging(t *testing.T) *httptest.Server {
	t.Helper()
	srv, _ := hangingOn(t, "Shop.OrderPlaced.v1", http.StatusOK)
	return srv
}

// hangingOn never answers events of one type, and answers others with a status.
// The channel receives for each one that hangs.
func hangingOn(t *testing.T, typ string, others int) (*httptest.Server, <-chan struct{}) {
	t.Helper()
	hangs := make(chan struct{}, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http notices a client's leaving only then
		if r.Header.Get("Ce-Type") != typ {
			w.WriteHeader(others)
			return
		}
		hangs <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	return srv, hangs
}

// cutting closes each connection before it answers.
func cutting(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(srv.Close)
	return srv
}

// resetter is an application that reads whole requests from raw connections. It
// answers 204 to the first ones of each connection, and resets it at the next.
type resetter struct {
	url      string
	requests atomic.Int32
	last     atomic.Pointer[http.Request]
}

func resetting(t *testing.T, answers int) *resetter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	app := &resetter{url: "http://" + listener.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { app.serve(conn.(*net.TCPConn), answers) })
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return app
}

func (a *resetter) serve(conn *net.TCPConn, answers int) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; answers-- {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		a.requests.Add(1)
		a.last.Store(req)
		if answers == 0 {
			_ = conn.SetLinger(0) // closing resets
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	}
}

// expiring returns a context whose deadline passes when expire is called.
func expiring(parent context.Context) (ctx context.Context, expire func()) {
	d := &deadline{Context: parent, done: make(chan struct{})}
	return d, sync.OnceFunc(func() { close(d.done) })
}

type deadline struct {
	context.Context
	done chan struct{}
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
