package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/testlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	answers = health.PingFunc(func(context.Context) error { return nil })
	refuses = health.PingFunc(func(context.Context) error { return errors.New("refused") })
	hangs   = health.PingFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
)

// pingers is a family of checks.
type pingers = map[string]health.Pinger

func open(t *testing.T, c health.Config) *health.Handler {
	t.Helper()
	h := health.New(c)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// get probes and returns status and body.
func get(t *testing.T, h http.Handler, target string) (status int, body string) {
	t.Helper()
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	require.Equal(t, "application/json", r.Header().Get("Content-Type"))
	require.Equal(t, "close", r.Header().Get("Connection"))
	require.Equal(t, strconv.Itoa(r.Body.Len()), r.Header().Get("Content-Length"))
	return r.Code, r.Body.String()
}

func TestReadyNamesEveryDependencyInProteansOrder(t *testing.T) {
	t.Parallel()
	h := open(t, health.Config{
		Checks: health.Checks{
			Providers:  pingers{"memory": answers, "default": answers},
			Brokers:    pingers{"partner": answers, "default": answers},
			EventStore: answers,
			Caches:     pingers{"default": answers},
		},
		Subscriptions: func() int { return 16 },
	})
	status, body := get(t, h, "/readyz")
	require.Equal(t, 200, status)
	require.Equal(t, `{"status": "ok", "checks": {"shutting_down": false, `+
		`"providers": {"default": "ok", "memory": "ok"}, "brokers": {"default": "ok", "partner": "ok"}, `+
		`"event_store": "ok", "caches": {"default": "ok"}, "subscriptions": 16}}`, body)
}

func TestReadySaysWhatIsDown(t *testing.T) {
	t.Parallel()
	h := open(t, health.Config{Checks: health.Checks{
		Providers:  pingers{"default": answers},
		Brokers:    pingers{"default": refuses},
		EventStore: refuses,
	}})
	status, body := get(t, h, "/readyz")
	require.Equal(t, 503, status)
	require.Equal(t, `{"status": "degraded", "checks": {"shutting_down": false, "providers": {"default": "ok"}, `+
		`"brokers": {"default": "unavailable"}, "event_store": "unavailable", "caches": {}}}`, body)
}

func TestAChangeOfReadinessIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var logged testlog.Output
	var err error
	h := open(t, health.Config{
		Checks: health.Checks{
			Providers: pingers{"default": health.PingFunc(func(context.Context) error { return err })},
			Brokers:   pingers{"default": answers},
		},
		Logger: logged.Logger(),
	})
	get(t, h, "/readyz")
	require.Empty(t, logged.Lines(), "what is well from the start is no news")
	for _, state := range []error{errors.New("connection refused"), nil} {
		err = state
		for range 3 {
			get(t, h, "/readyz")
		}
	}
	lines := logged.Lines()
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], `level=WARN msg="not ready: a check fails" component=health kind=providers name=default error="connection refused"`)
	require.Contains(t, lines[1], `level=INFO msg="a check succeeds again" component=health kind=providers name=default`)
}

func TestReadyLeavesOutAnEventStoreThatIsNot(t *testing.T) {
	t.Parallel()
	status, body := get(t, open(t, health.Config{}), "/readyz")
	require.Equal(t, 200, status)
	require.Equal(t, `{"status": "ok", "checks": {"shutting_down": false, "providers": {}, "brokers": {}, "caches": {}}}`, body)
}

func TestNamesAreWrittenAsPythonWritesThem(t *testing.T) {
	t.Parallel()
	h := open(t, health.Config{Checks: health.Checks{Caches: pingers{"a\"b<é😀\n\u007f": answers}}})
	_, body := get(t, h, "/readyz")
	require.Contains(t, body, `"caches": {"a\"b<\u00e9\ud83d\ude00\n`+"\u007f"+`": "ok"}`)
}

func TestNotReadyWhileShuttingDown(t *testing.T) {
	t.Parallel()
	h := open(t, health.Config{
		Checks:       health.Checks{Brokers: pingers{"default": answers}},
		ShuttingDown: func() bool { return true },
	})
	status, body := get(t, h, "/readyz")
	require.Equal(t, 503, status)
	require.Equal(t, `{"status": "unavailable", "checks": {"shutting_down": true}}`, body)
	status, _ = get(t, h, "/livez")
	require.Equal(t, 200, status, "but alive")
}

func TestReadyWaitsASecondForADependencyThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, health.Config{Checks: health.Checks{Brokers: pingers{"default": hangs, "quick": answers}}})
		start := time.Now()
		status, body := get(t, h, "/readyz")
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 503, status)
		require.Contains(t, body, `"brokers": {"default": "unavailable", "quick": "ok"}`)
	})
}

func TestADependencyIsNeverPingedTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pinged atomic.Int32
		release := make(chan struct{})
		slow := health.PingFunc(func(context.Context) error { pinged.Add(1); <-release; return nil })
		var fresh atomic.Int32
		quick := health.PingFunc(func(context.Context) error { fresh.Add(1); return nil })
		h := open(t, health.Config{Checks: health.Checks{Brokers: pingers{"slow": slow}, Caches: pingers{"quick": quick}}})
		for range 3 {
			status, _ := get(t, h, "/readyz")
			require.Equal(t, 503, status)
		}
		require.EqualValues(t, 1, pinged.Load())
		require.EqualValues(t, 3, fresh.Load(), "one that answers is pinged anew")

		close(release)
		synctest.Wait()
		status, _ := get(t, h, "/readyz")
		require.Equal(t, 200, status)
		require.EqualValues(t, 2, pinged.Load())
	})
}

func TestALateAnswerCountsForTheProbeThatJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := health.PingFunc(func(context.Context) error { time.Sleep(1500 * time.Millisecond); return nil })
		h := open(t, health.Config{Checks: health.Checks{Providers: pingers{"default": late}}})
		status, _ := get(t, h, "/readyz")
		require.Equal(t, 503, status)
		start := time.Now()
		status, _ = get(t, h, "/readyz")
		require.Equal(t, 200, status)
		require.Equal(t, 500*time.Millisecond, time.Since(start))
	})
}

func TestACheckIsGivenUpAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ended := make(chan time.Duration, 1)
		hanging := health.PingFunc(func(ctx context.Context) error {
			<-ctx.Done()
			ended <- time.Since(start)
			return ctx.Err()
		})
		get(t, open(t, health.Config{Checks: health.Checks{Providers: pingers{"default": hanging}}}), "/readyz")
		require.Equal(t, 5*time.Second, <-ended)
	})
}

func TestLivenessAsksTheProgramForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, health.Config{Alive: hangs, Checks: health.Checks{Brokers: pingers{"default": hangs}}})
		start := time.Now()
		status, body := get(t, h, "/livez")
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 503, status)
		require.Equal(t, `{"status": "unavailable", "checks": {"event_loop": "blocked"}}`, body)
	})
}

func TestLivenessDoesNotAskDependencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, health.Config{Alive: answers, Checks: health.Checks{Brokers: pingers{"default": hangs}}})
		start := time.Now()
		for _, target := range []string{"/livez", "/healthz"} {
			status, body := get(t, h, target)
			require.Equal(t, 200, status)
			require.Equal(t, `{"status": "ok", "checks": {"event_loop": "responsive"}}`, body)
		}
		require.Zero(t, time.Since(start))
	})
}

func TestOnlyTheExactPathsAreProbes(t *testing.T) {
	t.Parallel()
	h := open(t, health.Config{})
	for _, target := range []string{"/", "/livez/", "/livez?", "/livez?x=1", "/LIVEZ", "/%6civez", "//livez", "/nowhere"} {
		status, body := get(t, h, target)
		require.Equal(t, 404, status, target)
		require.Equal(t, `{"error": "Not Found"}`, body, target)
	}
}

func TestCloseEndsTheChecksUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(health.Config{Checks: health.Checks{Brokers: pingers{"default": hangs}, Caches: pingers{"new": answers}}})
		get(t, h, "/readyz")
		start := time.Now()
		require.NoError(t, h.Close())
		require.Zero(t, time.Since(start))
		require.NoError(t, h.Close(), "twice")

		_, body := get(t, h, "/readyz")
		require.Contains(t, body, `"caches": {"new": "unavailable"}`, "nothing is pinged any more")
	})
}

func TestCloseNamesACheckThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hanging := health.PingFunc(func(context.Context) error { <-release; return nil })
		h := health.New(health.Config{Checks: health.Checks{EventStore: hanging, Brokers: pingers{"default": answers}}})
		get(t, h, "/readyz")
		start := time.Now()
		require.EqualError(t, h.Close(), `health: the check of event_store "event_store" does not end`)
		require.Equal(t, time.Second, time.Since(start))
		close(release)
	})
}
