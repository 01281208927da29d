package deliver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

// brokenConn cannot be written to: the peer closed it just now.
type brokenConn struct{ net.Conn }

func (brokenConn) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestADirectRequestThatNeverArrivedIsSentAgain(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	h := to(t, srv.URL)
	require.NoError(t, h.Handle(t.Context(), order()))
	<-got
	kept := h.direct.idle[0]
	kept.Conn = brokenConn{kept.Conn}
	require.NoError(t, h.Handle(t.Context(), order()))
	require.JSONEq(t, string(order().Data), (<-got).Body)
	require.Empty(t, got)
	require.NotContains(t, h.direct.idle, kept)
}

// Servers send a 408 on a connection without a request before they close it.
func TestWhatNobodyAskedForIsNoAnswerToTheNextRequest(t *testing.T) {
	t.Parallel()
	send, sent := make(chan struct{}), make(chan struct{}, 2)
	h := to(t, "http://"+accepting(t, func(conn *net.TCPConn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
		<-send
		_, _ = io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
		sent <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}))
	require.NoError(t, h.Handle(t.Context(), order()))
	send <- struct{}{}
	<-sent
	require.NoError(t, h.Handle(t.Context(), order()), "the 408 is not this one's")
	close(send)
}

func TestAnAnswerComesInManyShapes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		want   handler.Outcome
		kept   bool
	}{
		"no content":           {"HTTP/1.1 204 No Content\r\n\r\n", handler.Done, true},
		"empty":                {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", handler.Done, true},
		"a body":               {"HTTP/1.1 200 OK\r\ncontent-length:2\r\nConnection: Keep-Alive\r\n\r\nok", handler.Done, true},
		"no reason":            {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", handler.Done, true},
		"chunks":               {"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", handler.Done, true},
		"continue, then done":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", handler.Done, true},
		"early hints":          {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", handler.Rejected, true},
		"a failure":            {"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno", handler.Failed, true},
		"the last":             {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", handler.Done, false},
		"HTTP/1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", handler.Done, false},
		"more than it says":    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", handler.Done, false},
		"two answers":          {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 No\r\n\r\n", handler.Done, false},
		"a body of no content": {"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", handler.Done, false},
		"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", handler.Cut, false},
		"headers without end":  {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead), handler.Cut, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := to(t, "http://"+accepting(t, func(conn *net.TCPConn) {
				for in := bufio.NewReader(conn); ; {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(conn, c.answer)
				}
			}))
			err := h.Handle(t.Context(), order())
			require.Equal(t, c.want, outcome(err), "%v", err)
			require.Equal(t, c.kept, len(h.direct.idle) == 1)
			err = h.Handle(t.Context(), order())
			require.Equal(t, c.want, outcome(err), "again: %v", err)
		})
	}
}

func TestConnectionsWithoutARequestAreClosed(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	h := to(t, srv.URL)
	require.NoError(t, h.Handle(t.Context(), order()))
	<-got
	d, kept := h.direct, h.direct.idle[0]
	d.expire()
	require.Len(t, d.idle, 1, "not yet")
	kept.idleSince = time.Now().Add(-idleTimeout)
	d.expire()
	require.Empty(t, d.idle)
	require.Nil(t, d.expiry)
	require.ErrorIs(t, kept.SetDeadline(time.Time{}), net.ErrClosed)

	require.NoError(t, h.Handle(t.Context(), order()))
	require.NoError(t, h.Close())
	require.Empty(t, d.idle)
	require.NoError(t, h.Handle(t.Context(), order()), "under way when it was closed")
	require.Empty(t, d.idle)
}

func TestOnlyAsManyConnectionsAreKeptAsThereAreRequests(t *testing.T) {
	t.Parallel()
	srv, hangs := hangingOn(t, "hang", http.StatusNoContent)
	h := to(t, srv.URL)
	require.Nil(t, to(t, "https://127.0.0.1:1").direct)
	require.Nil(t, to(t, "http://b\u00fccher.example").direct)
	m := order()
	m.Metadata.Headers.Type = "hang"
	ctx, expire := expiring(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Handle(ctx, m) }()
	<-hangs
	require.NoError(t, h.Handle(t.Context(), order()))
	expire()
	require.Error(t, <-ended)
	require.NoError(t, h.Handle(t.Context(), order()))
	require.Len(t, h.direct.idle, 1)
}

// What is read in the short way is what net/http reads.
func FuzzShortAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n z\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nX: y\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 00\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, all []byte) {
		if len(all) == 0 || len(all) > 4096 {
			return
		}
		c := &directConn{in: bufio.NewReader(bytes.NewReader(all))}
		_, err := c.in.Peek(1)
		require.NoError(t, err)
		status, ok := c.shortAnswer()
		if !ok {
			require.Equal(t, len(all), c.in.Buffered(), "nothing was taken")
			return
		}
		in := bufio.NewReader(bytes.NewReader(all))
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, resp.StatusCode, status)
		require.False(t, resp.Close)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Zero(t, in.Buffered(), strconv.Quote(string(all)))
		require.Zero(t, c.in.Buffered())
	})
}

// A balancer gives new connections to the instances that are up.
func TestAConnectionToAnInstanceThatIsDownIsNotKept(t *testing.T) {
	t.Parallel()
	for way, m := range bothWays() {
		var opened atomic.Int32
		h := to(t, "http://"+accepting(t, func(conn *net.TCPConn) {
			status := "204 No Content"
			if opened.Add(1) == 1 {
				status = "503 Service Unavailable\r\nContent-Length: 0"
			}
			for in := bufio.NewReader(conn); ; {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\n\r\n")
			}
		}))
		require.Equal(t, handler.Down, outcome(h.Handle(t.Context(), m)), way)
		require.NoError(t, h.Handle(t.Context(), m), way)
	}
}

func TestAfterATimeOutNoKeptConnectionIsTried(t *testing.T) {
	t.Parallel()
	srv, _ := hangingOn(t, "hang", http.StatusNoContent)
	address, forget := forgetful(t, srv.Listener.Addr().String())
	h := to(t, "http://"+address, func(c *HTTPConfig) { c.Timeout, c.Concurrency = 100*time.Millisecond, 4 })
	var all sync.WaitGroup
	for range 4 {
		c, err := h.direct.take(t.Context(), time.Now().Add(time.Minute))
		require.NoError(t, err)
		h.direct.keep(c)
		all.Go(func() { _ = h.Handle(t.Context(), order()) })
	}
	all.Wait()
	require.NotEmpty(t, h.direct.idle)
	forget()
	require.Error(t, h.Handle(t.Context(), order()))
	require.NoError(t, h.Handle(t.Context(), order()))
}

func TestAnApplicationThatFellSilentIsDownForAllThatWait(t *testing.T) {
	t.Parallel()
	h := to(t, "http://127.0.0.1:1")
	began := time.Now().Add(-4 * time.Second)
	for ago, want := range map[time.Duration]bool{100 * time.Millisecond: true, 3 * time.Second: false, 5 * time.Second: false} {
		h.answered.Store(time.Now().Add(-ago).UnixNano())
		require.Equal(t, want, h.answersOthers(began), ago)
	}
}
