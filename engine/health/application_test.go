package health_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/health"
)

func application(t *testing.T, c health.ApplicationConfig) *health.Application {
	t.Helper()
	a, err := health.NewApplication(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// The recording has Protean's router for FastAPI in front of two brokers, a database
// and a store in PostgreSQL, and a cache in Redis.
func TestAnApplicationAnswersAsProteansRouterDoes(t *testing.T) {
	t.Parallel()
	well := func() health.Checks {
		return health.Checks{
			Providers: pingers{"default": answers, "memory": answers}, EventStore: answers,
			Brokers: pingers{"default": answers, "partner": answers}, Caches: pingers{"default": answers},
		}
	}
	noRedis, noPostgres := well(), well()
	noRedis.Brokers, noRedis.Caches = pingers{"default": refuses, "partner": refuses}, pingers{"default": refuses}
	noPostgres.Providers, noPostgres.EventStore = pingers{"default": refuses, "memory": answers}, refuses
	states := map[string]*health.Application{
		"all well":                        application(t, health.ApplicationConfig{Checks: well()}),
		"Redis accepts but never answers": application(t, health.ApplicationConfig{Checks: noRedis}),
		"Redis down":                      application(t, health.ApplicationConfig{Checks: noRedis}),
		"PostgreSQL down":                 application(t, health.ApplicationConfig{Checks: noPostgres}),
	}
	text, err := os.ReadFile("testdata/router.jsonl")
	require.NoError(t, err)
	seen := 0
	for line := range bytes.Lines(text) {
		var p struct{ State, Request, Response string }
		require.NoError(t, json.Unmarshal(line, &p))
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(p.Request)))
		require.NoError(t, err)
		want, wantBody := parse(t, request.Method, []byte(p.Response))
		server := httptest.NewServer(states[p.State])
		request.URL.Scheme, request.URL.Host, request.RequestURI = "http", strings.TrimPrefix(server.URL, "http://"), ""
		got, err := http.DefaultTransport.RoundTrip(request.WithContext(t.Context()))
		require.NoError(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		server.Close()
		what := p.State + ": " + request.Method + " " + request.URL.Path
		require.Equal(t, want.StatusCode, got.StatusCode, what)
		require.Equal(t, wantBody, body.String(), what)
		for _, header := range []string{"Content-Type", "Content-Length", "Allow"} {
			require.Equal(t, want.Header.Get(header), got.Header.Get(header), what)
		}
		seen++
	}
	require.Equal(t, 15, seen)
}

func TestAnApplicationAnswersUnderItsPrefixOnly(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/internal", "/internal/"} {
		a := application(t, health.ApplicationConfig{Prefix: prefix})
		mux := http.NewServeMux()
		mux.Handle("/internal/", a)
		for path, want := range map[string]int{"/internal/livez": 200, "/internal/readyz": 200, "/livez": 404, "/internal/": 404} {
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			require.Equal(t, want, answer.Code, path)
		}
	}
	_, err := health.NewApplication(health.ApplicationConfig{Prefix: "internal"})
	require.EqualError(t, err, `health: Prefix "internal" must begin with a slash, as in "/internal"`)
}

func TestAnApplicationsReadinessWaitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := health.NewApplication(health.ApplicationConfig{Checks: health.Checks{Caches: pingers{"default": hangs}}})
		require.NoError(t, err)
		start := time.Now()
		status, body := a.Ready(t.Context())
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 503, status)
		require.Equal(t, `{"status":"degraded","checks":{"providers":{},"brokers":{},"caches":{"default":"unavailable"}}}`, string(body.Text()))
		require.NoError(t, a.Close())
	})
}

// The probes of an HTTP service of one's own, beside its other routes.
func ExampleNewApplication() {
	application, err := health.NewApplication(health.ApplicationConfig{
		Checks: health.Checks{}, // those of the domain: domain.Checks()
		Prefix: "/internal",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = application.Close() }()

	mux := http.NewServeMux()
	mux.Handle("/internal/", application)

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/internal/readyz", nil))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// 200 {"status":"ok","checks":{"providers":{},"brokers":{},"caches":{}}}
}
