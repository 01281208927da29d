package health_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/health"
)

func start(t *testing.T, c health.Config) *health.Server {
	t.Helper()
	s, err := health.Start("127.0.0.1:0", health.New(c), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// probe is a request that Protean 0.18 was sent and what it answered.
type probe struct{ State, Request, Response string }

func recordedProbes(t *testing.T) (probes []probe) {
	t.Helper()
	text, err := os.ReadFile("testdata/probes.jsonl")
	require.NoError(t, err)
	for line := range bytes.Lines(text) {
		var p probe
		require.NoError(t, json.Unmarshal(line, &p))
		probes = append(probes, p)
	}
	require.NotEmpty(t, probes)
	return probes
}

func TestProbesAreAnsweredAsProteanDoes(t *testing.T) {
	t.Parallel()
	well := start(t, health.Config{})
	ending := start(t, health.Config{ShuttingDown: func() bool { return true }})
	for _, p := range recordedProbes(t) {
		line, _, _ := strings.Cut(p.Request, "\r\n")
		t.Run(p.State+": "+line, func(t *testing.T) {
			t.Parallel()
			server := well
			if p.State == "shutting down" {
				server = ending
			}
			method, _, _ := strings.Cut(line, " ")
			want, wantBody := parse(t, method, []byte(p.Response))
			got, gotBody := parse(t, method, send(t, server, p.Request))
			require.Equal(t, want.StatusCode, got.StatusCode)
			require.Equal(t, want.ContentLength, got.ContentLength)
			require.Equal(t, want.Header.Get("Content-Type"), got.Header.Get("Content-Type"))
			require.True(t, got.Close, "one request a connection")
			require.Equal(t, wantBody, gotBody)
		})
	}
}

// send writes a request as it is and returns all that comes back.
func send(t *testing.T, s *health.Server, request string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	response, err := io.ReadAll(conn)
	require.NoError(t, err, "the server hangs up")
	return response
}

func parse(t *testing.T, method string, response []byte) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return r, string(body)
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	response, _ := parse(t, "GET", send(t, start(t, health.Config{}), "nonsense\r\n\r\n"))
	require.Equal(t, 400, response.StatusCode)
}

func TestATakenPortIsAnErrorThatSaysWhatChangesIt(t *testing.T) {
	t.Parallel()
	first := start(t, health.Config{})
	_, err := health.Start(first.Addr().String(), health.New(health.Config{}), nil)
	require.ErrorContains(t, err, first.Addr().String())
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, "`port`")
	require.ErrorContains(t, err, "[server.health]")
}

func TestCloseLetsGoOfThePortAndIsHarmlessTwice(t *testing.T) {
	t.Parallel()
	s := start(t, health.Config{})
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := net.Dial("tcp", s.Addr().String())
	require.Error(t, err)
}

func TestCloseWaitsForTheAnswerUnderWay(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	s := start(t, health.Config{Subscriptions: func() int { close(asked); <-release; return 7 }})
	answer := make(chan string, 1)
	go func() {
		defer close(answer)
		response, err := http.Get("http://" + s.Addr().String() + "/readyz")
		if err != nil {
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	close(release)
	require.Contains(t, <-answer, `"subscriptions": 7`)
	require.NoError(t, <-closed)
	http.DefaultClient.CloseIdleConnections()
}
