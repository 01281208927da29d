package deliver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
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
func cutting(t *testing.T, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	start(srv)
	t.Cleanup(srv.Close)
	return srv
}

// trust has a target's certificate accepted.
func trust(h *HTTP, srv *httptest.Server) {
	if srv.Certificate() == nil {
		return
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	h.transport.http().TLSClientConfig = &tls.Config{RootCAs: roots}
}

// text is a JSON string of so many letters.
func text(letters int) []byte { return []byte(`"` + strings.Repeat("x", letters) + `"`) }

// accepting returns the address at which a function is given each connection,
// which is closed when the function returns, or the test ends.
func accepting(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(t.Context(), func() { _ = conn.Close() })()
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// forgetful passes connections on to a target, as a router does that translates
// addresses, until forget is called: from then on it swallows what comes on those
// that there are.
func forgetful(t *testing.T, target string) (address string, forget func()) {
	t.Helper()
	var forgotten atomic.Int32
	address = accepting(t, func(in *net.TCPConn) {
		born := forgotten.Load()
		out, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		pass := func(to, from net.Conn) {
			for b := make([]byte, 32<<10); ; {
				n, err := from.Read(b)
				if forgotten.Load() == born {
					_, _ = to.Write(b[:n])
				}
				if err != nil {
					_ = in.Close()
					_ = out.Close()
					return
				}
			}
		}
		var both sync.WaitGroup
		both.Go(func() { pass(out, in) })
		both.Go(func() { pass(in, out) })
		both.Wait()
	})
	return address, func() { forgotten.Add(1) }
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
	app := new(resetter)
	app.url = "http://" + accepting(t, func(conn *net.TCPConn) { app.serve(conn, answers) })
	return app
}

func (a *resetter) serve(conn *net.TCPConn, answers int) {
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
