package health_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/health"
)

// drainer counts calls that end when a test says so.
type drainer struct {
	draining atomic.Bool
	calls    atomic.Int32
}

func (d *drainer) Drain(on bool)  { d.draining.Store(on) }
func (d *drainer) Draining() bool { return d.draining.Load() }
func (d *drainer) InFlight() int  { return int(d.calls.Load()) }

// drainz sends a request to /drainz from an address and returns the answer.
func drainz(t *testing.T, h http.Handler, method, query, from string, header http.Header) (status int, body string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, "/drainz"+query, nil)
	request.RemoteAddr = from
	request.Header = header
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, request)
	return answer.Code, strings.ReplaceAll(answer.Body.String(), fmt.Sprint(os.Getpid()), "PID")
}

const here = "127.0.0.1:55555"

func TestDrainingIsSaidAtOnceAndUndone(t *testing.T) {
	t.Parallel()
	d := &drainer{}
	d.calls.Store(2)
	h := open(t, health.Config{Drainer: d})
	status, body := drainz(t, h, http.MethodPost, "", here, nil)
	require.Equal(t, 200, status)
	require.Equal(t, `{"status": "draining", "pid": PID, "in_flight": 2}`, body)
	require.True(t, d.Draining())

	status, body = get(t, h, "/readyz")
	require.Equal(t, 503, status)
	require.Equal(t, `{"status": "unavailable", "checks": {"draining": true}}`, body)
	status, _ = get(t, h, "/livez")
	require.Equal(t, 200, status, "it stays alive")

	status, body = drainz(t, h, http.MethodDelete, "", here, nil)
	require.Equal(t, 200, status)
	require.Equal(t, `{"status": "ok", "pid": PID}`, body)
	status, _ = get(t, h, "/readyz")
	require.Equal(t, 200, status)
}

func TestDrainingWaitsForCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drainer{}
		d.calls.Store(1)
		h := open(t, health.Config{Drainer: d})
		go func() {
			time.Sleep(7 * time.Second)
			d.calls.Store(0)
		}()
		start := time.Now()
		status, body := drainz(t, h, http.MethodPost, "?wait=5s", here, nil)
		require.Equal(t, 503, status, "it is not drained")
		require.Equal(t, `{"status": "draining", "pid": PID, "in_flight": 1}`, body)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.True(t, d.Draining())

		status, body = drainz(t, h, http.MethodPost, "?wait=30s", here, nil)
		require.Equal(t, 200, status)
		require.Equal(t, `{"status": "draining", "pid": PID, "in_flight": 0}`, body)
		require.InDelta(t, 7, time.Since(start).Seconds(), 0.1)
	})
}

func TestDrainingIsForThisMachineOrTheToken(t *testing.T) {
	t.Parallel()
	const elsewhere = "10.1.2.3:4444"
	d := &drainer{}
	without, with := open(t, health.Config{Drainer: d}), open(t, health.Config{Drainer: d, Token: "s3cret"})
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	for _, c := range []struct {
		what    string
		h       http.Handler
		from    string
		header  http.Header
		allowed bool
	}{
		{"this machine", without, here, nil, true},
		{"this machine by IPv6", without, "[::1]:80", nil, true},
		{"elsewhere", without, elsewhere, nil, false},
		{"elsewhere with an empty token", without, elsewhere, bearer(""), false},
		{"elsewhere with the token", with, elsewhere, bearer("s3cret"), true},
		{"elsewhere with another token", with, elsewhere, bearer("s3cre"), false},
		{"a page of another site in a browser here", without, here, http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
	} {
		d.Drain(false)
		status, body := drainz(t, c.h, http.MethodPost, "", c.from, c.header)
		require.Equal(t, c.allowed, status == 200, "%s: %d %s", c.what, status, body)
		require.Equal(t, c.allowed, d.Draining(), c.what)
		require.NotContains(t, body, "s3cret")
	}
}

func TestDrainingRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	d := &drainer{}
	h := open(t, health.Config{Drainer: d})
	for query, want := range map[string]string{
		"?wait=30":   `{"error": "wait \"30\": expected a duration of at most an hour, as in ?wait=30s"}`,
		"?wait=-1s":  `{"error": "wait \"-1s\": expected a duration of at most an hour, as in ?wait=30s"}`,
		"?wait=2h":   `{"error": "wait \"2h\": expected a duration of at most an hour, as in ?wait=30s"}`,
		"?await=30s": "{\"error\": \"unknown parameter \\\"await\\\"; there is `wait`, as in ?wait=30s\"}",
	} {
		status, body := drainz(t, h, http.MethodPost, query, here, nil)
		require.Equal(t, 400, status, query)
		require.Equal(t, want, body)
	}
	status, _ := drainz(t, h, http.MethodPut, "", here, nil)
	require.Equal(t, 405, status)
	status, _ = drainz(t, h, http.MethodGet, "", here, nil)
	require.Equal(t, 404, status, "as Protean answers")
	require.False(t, d.Draining())
	status, _ = drainz(t, open(t, health.Config{}), http.MethodPost, "", here, nil)
	require.Equal(t, 404, status)
}
