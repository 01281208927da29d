package command

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

// slow is an application that answers once release is closed.
type slow struct {
	url     string
	arrived chan string // message ids
	release chan struct{}
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	s := &slow{arrived: make(chan string, 100), release: make(chan struct{})}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.arrived <- r.Header.Get("Ce-Id")
		select {
		case <-s.release:
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(func() { close(over); server.Close() })
	s.url = server.URL
	return s
}

// deliver is the line of a handler that delivers there.
func (s *slow) deliver() string { return `deliver = "` + s.url + `"` }

// pendingOf lists the entries that a consumer of the group holds, with their
// calls.
func pendingOf(t *testing.T, client *redis.Client) (held []redis.XPendingExt) {
	t.Helper()
	held, err := client.XPendingExt(context.Background(), &redis.XPendingExtArgs{
		Stream: stream, Group: "Mailer", Start: "-", End: "+", Count: 100,
	}).Result()
	require.NoError(t, err)
	return held
}

func TestSIGTERMFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			application, server := newSlow(t), testserver.StartRedis(t)
			client := server.Client(t)
			p := serveShop(t, server, application.deliver(), "messages_per_tick = 1")
			shoptest.Place(t, client, "first")
			next(p, application.arrived)
			shoptest.Place(t, client, "second")
			p.until("it is ready", func() bool {
				status, _ := shoptest.Get(t, "http://"+p.health+"/readyz")
				return status == http.StatusOK
			})

			p.signal(s)
			const leaving = `{"status": "unavailable", "checks": {"shutting_down": true}}`
			p.until("readiness says so", func() bool {
				status, body := shoptest.Get(t, "http://"+p.health+"/readyz")
				return status == http.StatusServiceUnavailable && body == leaving
			})
			status, body := shoptest.Get(t, "http://"+p.health+"/livez")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, `{"status": "ok", "checks": {"event_loop": "responsive"}}`, body)
			require.Contains(t, p.scrape(), "protean_engine_up{domain=\"shop\"} 0\n")

			close(application.release)
			require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
			require.Empty(t, application.arrived, "reading has stopped")
			require.Contains(t, p.stderr.String(), "a second signal leaves at once")
			for _, held := range pendingOf(t, client) {
				require.Equal(t, "released", held.Consumer, "what was read and not handled is released")
			}
			require.Zero(t, client.XLen(context.Background(), stream+":dlq").Val())
		})
	}
}

// A delivery that is cut off because its time to finish is over has not failed.
func TestWhatCannotFinishInTimeIsReleasedWithoutAFailedAttempt(t *testing.T) {
	t.Parallel()
	application, server := newSlow(t), testserver.StartRedis(t)
	client := server.Client(t)
	p := serveShop(t, server, application.deliver(), "max_retries = 1", "[test.observatory]", "shutdown_timeout_seconds = 0.1")
	entry := shoptest.Place(t, client, "first")
	next(p, application.arrived)

	p.signal(syscall.SIGTERM)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
	require.Zero(t, client.XLen(context.Background(), stream+":dlq").Val(), "%s", &p.stderr)
	held := pendingOf(t, client)
	require.Len(t, held, 1)
	require.Equal(t, entry, held[0].ID)
	require.Equal(t, "released", held[0].Consumer)

	p = serveShop(t, server, application.deliver(), "max_retries = 1")
	next(p, application.arrived)
	close(application.release)
	p.until("the next process delivers it", func() bool { return len(pendingOf(t, client)) == 0 })
	require.Zero(t, client.XLen(context.Background(), stream+":dlq").Val())
}

func TestASecondSignalLeavesAtOnce(t *testing.T) {
	t.Parallel()
	application, server := newSlow(t), testserver.StartRedis(t)
	p := serveShop(t, server, application.deliver())
	shoptest.Place(t, server.Client(t), "first")
	next(p, application.arrived)
	p.signal(syscall.SIGTERM)
	p.until("it is stopping", func() bool { return strings.Contains(p.stderr.String(), "stopping") })
	p.signal(syscall.SIGINT)
	require.Equal(t, exitFailed, p.exits())
	require.Contains(t, p.stderr.String(), "second signal: leaving at once")
}

// timeout(1) and supervisors send a signal to the process and to its group.
func TestTheSameSignalTwiceAtOnceIsOne(t *testing.T) {
	t.Parallel()
	application, server := newSlow(t), testserver.StartRedis(t)
	client := server.Client(t)
	p := serveShop(t, server, application.deliver(), "messages_per_tick = 1")
	shoptest.Place(t, client, "first")
	next(p, application.arrived)
	p.signal(syscall.SIGTERM)
	p.until("it is stopping", func() bool { return strings.Contains(p.stderr.String(), "stopping") })
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	close(application.release)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
	require.Empty(t, pendingOf(t, client), "what was under way has finished")
}

func TestTheSameSignalASecondLaterLeavesAtOnce(t *testing.T) {
	t.Parallel()
	application, server := newSlow(t), testserver.StartRedis(t)
	p := serveShop(t, server, application.deliver())
	shoptest.Place(t, server.Client(t), "first")
	next(p, application.arrived)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for started, ended := time.Now(), false; !ended; {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
		select {
		case <-again.C:
		case <-p.ended:
			ended = true
			require.GreaterOrEqual(t, time.Since(started), time.Second)
		}
		require.Less(t, time.Since(started), limit)
	}
	require.Equal(t, exitFailed, p.exits())
}

// brokenPipe is a pipe without a reader.
func brokenPipe(t *testing.T) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	t.Cleanup(func() { _ = writer.Close() })
	return writer
}

// `observatory serve 2>&1 | tee log`: Ctrl-C ends tee too.
func TestAStopFinishesThoughNothingReadsTheLog(t *testing.T) {
	t.Parallel()
	application, server := newSlow(t), testserver.StartRedis(t)
	client := server.Client(t)
	pipe := brokenPipe(t)
	p := serveShopTo(t, server, pipe, pipe, application.deliver(), "messages_per_tick = 1")
	shoptest.Place(t, client, "first")
	next(p, application.arrived)
	p.signal(syscall.SIGINT)
	p.until("it is stopping", func() bool { return strings.Contains(p.scrape(), "protean_engine_up{domain=\"shop\"} 0\n") })
	close(application.release)
	require.Equal(t, exitDone, p.exits())
	require.Empty(t, pendingOf(t, client), "what was under way has finished")
}

// A collector of logs that hangs reads nothing, and closes nothing.
func TestALogThatHangsStopsNeitherDeliveriesNorTheStop(t *testing.T) {
	t.Parallel()
	const failing = 3000
	arrived := make(chan string, 1)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("Ce-Id"); strings.Contains(id, "-last-") {
			arrived <- id
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(application.Close)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = writer.Close(), reader.Close() })
	server := testserver.StartRedis(t)
	client := server.Client(t)
	p := serveShopTo(t, server, nil, writer, `deliver = "`+application.URL+`"`, "max_retries = 1", "messages_per_tick = 100",
		"[logging]", `level = "DEBUG"`) // a line for each of them, more than a pipe holds
	for i := range failing {
		shoptest.Place(t, client, fmt.Sprint("o", i))
	}
	shoptest.Place(t, client, "last")
	next(p, arrived)
	p.until("all others are dead letters", func() bool { return client.XLen(context.Background(), stream+":dlq").Val() == failing })
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitDone, p.exits())
	require.Empty(t, pendingOf(t, client))
}

// An error at the start, too, ends the process.
func TestAnErrorThatNothingReadsEndsTheProcess(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = writer.Close(), reader.Close() })
	fillPipe(t, writer)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "serve", "--config", "nowhere.toml")
	cmd.Env, cmd.Stderr = append(os.Environ(), asProgram+"=1"), writer
	require.Error(t, cmd.Run())
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode())
}

// fillPipe fills a pipe: the next write to it waits for a reader.
func fillPipe(t *testing.T, writer *os.File) {
	t.Helper()
	require.NoError(t, writer.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := writer.Write(bytes.Repeat([]byte("\n"), 1<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// Under deliver = "log:" standard output is the target. A reader that hangs is one
// that is down, and holds up neither a stop nor loses a message.
func TestAReaderOfTheLogThatHangsIsATargetThatIsDown(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := server.Client(t)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = writer.Close(), reader.Close() })
	fillPipe(t, writer)
	p := serveShopTo(t, server, writer, nil, `deliver = "log:"`, "max_retries = 1", "handler_timeout_seconds = 0.1")
	shoptest.Place(t, client, "first")
	shoptest.Place(t, client, "second")
	p.until("its target is down", func() bool {
		return regexp.MustCompile(`(?m)^protean_subscription_target_down\{[^}]*\} 1$`).MatchString(p.scrape())
	})
	require.Regexp(t, `(?m)^protean_subscription_stuck_calls\{[^}]*\} 0$`, p.scrape())
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
	for _, held := range pendingOf(t, client) {
		require.Equal(t, "released", held.Consumer)
	}
	require.Zero(t, client.XLen(context.Background(), stream+":dlq").Val(), "%s", &p.stderr)
}

// Under deliver = "log:" standard output is the target.
func TestAReaderOfTheLogThatGoesAwayIsATargetThatIsDown(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := server.Client(t)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = writer.Close() })
	p := serveShopTo(t, server, writer, nil, `deliver = "log:"`, "max_retries = 1")
	shoptest.Place(t, client, "first")
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "Shop.OrderPlaced.v1")

	require.NoError(t, writer.Close())
	require.NoError(t, reader.Close())
	shoptest.Place(t, client, "second")
	p.until("its target is down", func() bool {
		return regexp.MustCompile(`(?m)^protean_subscription_target_down\{[^}]*\} 1$`).MatchString(p.scrape())
	})
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
	held := pendingOf(t, client)
	require.Len(t, held, 1)
	require.Equal(t, "released", held[0].Consumer)
	require.Zero(t, client.XLen(context.Background(), stream+":dlq").Val(), "%s", &p.stderr)
}

func TestSIGHUPStopsAndTheLogSaysThatItDoesNotReload(t *testing.T) {
	t.Parallel()
	p := serveShop(t, testserver.StartRedis(t), `deliver = "log:"`)
	p.signal(syscall.SIGHUP)
	require.Equal(t, exitDone, p.exits(), "%s", &p.stderr)
	require.Contains(t, p.stderr.String(), "SIGHUP stops the engine; it does not reload the configuration")
}
