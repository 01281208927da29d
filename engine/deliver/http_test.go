package deliver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

// answering returns a server with one answer for all.
func answering(t *testing.T, status int, body string, header ...string) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestEveryAnswerHasItsOutcome(t *testing.T) {
	t.Parallel()
	for want, statuses := range map[handler.Outcome][]int{
		handler.Done:      {200, 201, 202, 204, 299},
		handler.Postponed: {408, 425, 429},
		handler.Rejected:  {400, 410, 413, 415, 422},
		handler.Down:      {401, 403, 404, 405, 502, 503, 504},
		handler.Failed:    {301, 302, 307, 304, 402, 406, 409, 418, 500, 501, 505, 599},
	} {
		for _, status := range statuses {
			srv := answering(t, status, "", "Location", "http://127.0.0.1:1/elsewhere")
			for way, m := range bothWays() {
				err := to(t, srv.URL).Handle(t.Context(), m)
				require.Equal(t, want, outcome(err), "status %d, %s: %v", status, way, err)
			}
		}
	}
}

func TestARejectionSaysWhatTheApplicationAnswered(t *testing.T) {
	t.Parallel()
	srv := answering(t, 422, "total must be positive\n")
	err := to(t, srv.URL+"/events?key=1").Handle(t.Context(), order())
	require.EqualError(t, err, srv.URL+"/events answered 422 Unprocessable Entity: total must be positive")

	long := answering(t, 400, "\xff"+strings.Repeat("ä", 1<<20))
	err = to(t, long.URL).Handle(t.Context(), order())
	_, reason, _ := strings.Cut(err.Error(), "Bad Request: ")
	require.True(t, utf8.ValidString(reason))
	require.LessOrEqual(t, len(reason), 1024)
	require.Greater(t, len(reason), 1000)
}

func TestAnApplicationThatIsDownIsNotABadMessage(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = quiet()
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, c := range map[string]struct{ url, want string }{
		"refused":    {"http://" + closedAddress(t), "connection refused"},
		"unresolved": {"http://nothing.invalid/events", "lookup nothing.invalid"},
		"untrusted":  {untrusted.URL, "certificate"},
		"hangs":      {hanging(t).URL, "no answer in time"},
		"no TLS":     {strings.Replace(answering(t, 200, "").URL, "http:", "https:", 1), "HTTP response to HTTPS client"},
	} {
		h := to(t, c.url, func(c *HTTPConfig) { c.Timeout = 2 * time.Second })
		if name == "hangs" {
			h = to(t, c.url, func(c *HTTPConfig) { c.Timeout = 50 * time.Millisecond })
		}
		err := h.Handle(t.Context(), order())
		require.Equal(t, handler.Down, outcome(err), "%s: %v", name, err)
		require.Equal(t, name != "hangs", handler.IsUnreachable(err), name)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, "deliver to http", name)
	}
}

func TestARequestThatTheTargetHadIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]*httptest.Server{
		"HTTP/1": cutting(t, (*httptest.Server).Start),
		"TLS":    cutting(t, (*httptest.Server).StartTLS),
		"HTTP/2": cutting(t, func(srv *httptest.Server) { srv.EnableHTTP2 = true; srv.StartTLS() }),
	} {
		h := to(t, srv.URL)
		trust(h, srv)
		for _, size := range []int{10, 100_000} { // with the headers in one write, and not
			m := order()
			m.Data = text(size)
			err := h.Handle(t.Context(), m)
			require.Equal(t, handler.Cut, outcome(err), "%s, %d bytes: %v", name, size, err)
		}
	}
}

func TestARequestThatWasCutOffIsATargetThatIsDown(t *testing.T) {
	t.Parallel()
	h := to(t, "http://"+accepting(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1024))
		_ = conn.SetLinger(0) // closing resets
	}))
	m := order()
	m.Data = text(32 << 20) // more than the kernel keeps
	err := h.Handle(t.Context(), m)
	require.Equal(t, handler.Down, outcome(err), "%v", err)
}

// What a target sends without end ends with the call's time.
func TestNoAnswerOutlivesItsCall(t *testing.T) {
	t.Parallel()
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		begin, again string
		want         handler.Outcome
	}{
		"another protocol":  {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "", handler.Failed},
		"another, talking":  {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "x", handler.Failed},
		"not yet":           {"", "HTTP/1.1 102 Processing\r\n\r\n", handler.Down},
		"a header":          {ok, "X-Header: x\r\n", handler.Down},
		"a header's value":  {ok + "X-Header: ", "x", handler.Down},
		"a body":            {ok + "Content-Length: 1000000000\r\n\r\n", "x", handler.Done},
		"an unbounded body": {ok + "\r\n", "x", handler.Done},
		"chunks":            {chunked, "1\r\nx\r\n", handler.Done},
		"a chunk's size":    {chunked, "0", handler.Done},
		"trailers":          {chunked + "0\r\n", "X-Trailer: x\r\n", handler.Done},
		"nothing":           {"", "", handler.Down},
		"not HTTP":          {"hello\r\n\r\n", "", handler.Cut},
		"a silent body":     {ok + "Content-Length: 5\r\n\r\nx", "", handler.Done},
	} {
		for way, m := range bothWays() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				h := to(t, "http://"+accepting(t, func(conn *net.TCPConn) {
					req, err := http.ReadRequest(bufio.NewReader(conn))
					if err == nil {
						_, _ = io.Copy(io.Discard, req.Body)
						_, err = io.WriteString(conn, c.begin)
					}
					for err == nil && c.again != "" {
						time.Sleep(time.Millisecond) // a target that is slow
						_, err = io.WriteString(conn, c.again)
					}
					if err == nil {
						_, _ = io.Copy(io.Discard, conn)
					}
				}))
				h.config.Timeout = 200 * time.Millisecond
				outcomes := make(chan handler.Outcome, 1)
				go func() { outcomes <- outcome(h.Handle(t.Context(), m)) }()
				select {
				case got := <-outcomes:
					require.Equal(t, c.want, got)
				case <-time.After(10 * time.Second):
					require.Fail(t, "the call goes on after its time")
				}
			})
		}
	}
}

func TestAConnectionThatIsSilentlyDeadIsReplaced(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	address, forget := forgetful(t, srv.Listener.Addr().String())
	h := to(t, "https://"+address, func(c *HTTPConfig) { c.Timeout = 100 * time.Millisecond })
	trust(h, srv)
	pings := h.transport.http().HTTP2
	require.LessOrEqual(t, pings.SendPingTimeout+pings.PingTimeout, 15*time.Second, "the longest wait between two probes")
	pings.SendPingTimeout /= 100
	pings.PingTimeout /= 100
	require.NoError(t, h.Handle(t.Context(), order()))
	forget()
	require.Error(t, h.Handle(t.Context(), order()))
	require.Eventually(t, func() bool { return h.Handle(t.Context(), order()) == nil }, 10*time.Second, time.Millisecond)
}

func TestAMessageThatOnlyHangsIsAFailureWhileOthersAreAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		others int
		want   handler.Outcome
	}{
		"others are handled":     {200, handler.Failed},
		"others fail":            {500, handler.Failed},
		"a proxy answers others": {502, handler.Down},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, hangs := hangingOn(t, "hang", c.others)
			h := to(t, srv.URL, func(c *HTTPConfig) { c.Concurrency = 2 })
			ctx, expire := expiring(t.Context())
			outcomes := make(chan handler.Outcome)
			go func() {
				m := order()
				m.Metadata.Headers.Type = "hang"
				outcomes <- outcome(h.Handle(ctx, m))
			}()
			<-hangs
			_ = h.Handle(t.Context(), order())
			expire()
			require.Equal(t, c.want, <-outcomes)
		})
	}
}

func TestATimeoutOfTheCallersOwnIsATargetThatHangs(t *testing.T) {
	t.Parallel()
	srv, hangs := hangingOn(t, "Shop.OrderPlaced.v1", 200)
	ctx, expire := expiring(t.Context())
	go func() { <-hangs; expire() }()
	err := to(t, srv.URL).Handle(ctx, order())
	require.Equal(t, handler.Down, outcome(err), "%v", err)
}

func TestAMessageThatIsTakenOverDuringItsCallSaysNothingOfTheTarget(t *testing.T) {
	t.Parallel()
	for way, m := range bothWays() {
		srv, hangs := hangingOn(t, "Shop.OrderPlaced.v1", 200)
		lost := errors.New("the message is not this consumer's any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-hangs; cancel(lost) }()
		err := to(t, srv.URL).Handle(ctx, m)
		require.ErrorIs(t, err, lost, way)
		require.Equal(t, handler.Failed, outcome(err), way)
	}
}

func TestAMessageThatNeverReachedTheTargetIsNotToBlame(t *testing.T) {
	t.Parallel()
	h := to(t, "http://"+closedAddress(t))
	others := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { h.answered.Store(time.Now().Add(time.Second).UnixNano()) }, // another message is answered just now
	})
	h.direct.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		h.answered.Store(time.Now().Add(time.Second).UnixNano())
		return dial(ctx, network, address)
	}
	for way, m := range bothWays() {
		require.Equal(t, handler.Down, outcome(h.Handle(others, m)), way)
	}
}

func TestShutdownIsNoVerdictOnTheMessage(t *testing.T) {
	t.Parallel()
	srv, hangs := hangingOn(t, "Shop.OrderPlaced.v1", 200)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hangs; cancel() }()
	err := to(t, srv.URL).Handle(ctx, order())
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, handler.Failed, outcome(err))
}

func TestAnAnswerWithASlowBodyCountsByItsStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]handler.Outcome{200: handler.Done, 422: handler.Rejected} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "the beginning")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		t.Cleanup(srv.Close)
		err := to(t, srv.URL).Handle(t.Context(), order())
		require.Equal(t, want, outcome(err))
		if want == handler.Rejected {
			require.ErrorContains(t, err, "the beginning")
		}
	}
}

func TestAConnectionIsReusedAndReplacedWhenTheServerClosedIt(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	for way, m := range bothWays() {
		opened.Store(0)
		h := to(t, srv.URL)
		for range 5 {
			require.NoError(t, h.Handle(t.Context(), m))
		}
		require.EqualValues(t, 1, opened.Load(), way)
		srv.CloseClientConnections()
		require.NoError(t, h.Handle(t.Context(), m))
		require.EqualValues(t, 2, opened.Load(), way)
	}
}

func TestARequestThatArrivedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for way, m := range bothWays() {
		app := resetting(t, 1)
		h := to(t, app.url)
		require.NoError(t, h.Handle(t.Context(), m))
		h.answered.Store(time.Now().Add(time.Second).UnixNano()) // another message is answered meanwhile
		err := h.Handle(t.Context(), m)
		require.Equal(t, handler.Cut, outcome(err), "%s: %v", way, err)
		require.EqualValues(t, 2, app.requests.Load(), "one request a call")
	}
}

func TestARequestThatNeverArrivedIsSentAgain(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	h := to(t, srv.URL)
	m := long()
	require.NoError(t, h.Handle(t.Context(), m))
	<-got
	// The server closes the kept connection once the request has been given it.
	closing := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				return
			}
			srv.CloseClientConnections()
			for !errors.Is(info.Conn.SetReadDeadline(time.Time{}), net.ErrClosed) {
				runtime.Gosched() // until the client has noticed
			}
		},
	})
	require.NoError(t, h.Handle(closing, m))
	require.Equal(t, string(m.Data), (<-got).Body)
	require.Empty(t, got)
}

func TestNoSecretReachesAnError(t *testing.T) {
	t.Parallel()
	const password, token, key = "hunter2-hunter2", "tok-3cret-tok", "query-s3cret"
	echo := func(status int) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_ = r.Header.Write(w)
			_, _ = io.WriteString(w, strings.Repeat("-", 1024-200)+token+password)
		}))
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String()
	}
	for _, address := range []string{
		echo(400), echo(401), echo(500), closedAddress(t), "nothing.invalid", cutting(t, (*httptest.Server).Start).Listener.Addr().String(),
	} {
		h := to(t, "http://user:"+password+"@"+address+"/in?key="+key, withHeaders(map[string]string{"X-Token": "Bearer " + token}))
		err := h.Handle(t.Context(), order())
		require.ErrorContains(t, err, "http://"+address+"/in")
		for _, secret := range []string{password, token, key, "dXNlcjpodW50ZXIy"} {
			require.NotContains(t, err.Error(), secret)
		}
	}
}

func TestATargetThatCannotBeOneIsRefusedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]HTTPConfig{
		"scheme":      {URL: "ftp://u:hunter2@host/", Source: shop},
		"no host":     {URL: "http:///events", Source: shop},
		"no URL":      {URL: "http://u:hunter2@host:port/ \x7f", Source: shop},
		"no source":   {URL: "http://u:hunter2@host/"},
		"bad source":  {URL: "http://host/", Source: "%zz"},
		"timeout":     {URL: "http://u:hunter2@host/", Source: shop, Timeout: -1},
		"concurrency": {URL: "http://u:hunter2@host/", Source: shop, Concurrency: -1},
	} {
		_, err := NewHTTP(c)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}

// Pages of errors write what they echo as JSON, HTML or URLs do.
func TestNoSecretReachesAnErrorInAnotherForm(t *testing.T) {
	t.Parallel()
	const token, key, path = `SeKr3t"H<&/é`, "SeKr3t/Query+x", "T000SeKr3tPath"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(r.Header.Get("X-Token"))
		_, _ = fmt.Fprintf(w, "%s %q Cannot POST %s %s", html.EscapeString(r.Header.Get("X-Token")), r.Header.Get("X-Token"), r.URL.Path, r.URL.RawQuery)
	}))
	t.Cleanup(srv.Close)
	h := to(t, srv.URL+"/hooks/"+path+"?a=1&key="+url.QueryEscape(key)+"&b=2", withHeaders(map[string]string{"X-Token": token}),
		func(c *HTTPConfig) { c.Name = srv.URL + "/hooks/${file:/run/secrets/hook}" })
	err := h.Handle(t.Context(), order())
	require.Equal(t, handler.Rejected, outcome(err))
	require.ErrorContains(t, err, "Cannot POST /hooks/")
	for _, part := range []string{"SeKr3t", "T000"} {
		require.NotContains(t, err.Error(), part)
	}
}
