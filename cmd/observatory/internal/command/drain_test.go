package command

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestDrainStopsTheEngineOfThisMachineFromTakingMessages(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	posted, release := make(chan struct{}, 100), make(chan struct{})
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		posted <- struct{}{}
		<-release
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(application.Close)
	p := serveShop(t, server, `deliver = "`+application.URL+`"`, `format = "fields"`)
	client := server.Client(t)
	for range 3 {
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"a", "b"}}).Err())
	}
	next(p, posted)
	drain := func(args ...string) (code int, out, errs string) {
		var stdout, stderr testlog.Output
		code = Run(append([]string{"drain", "--health.listen-address", p.health}, args...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	code, out, errs := drain("--wait", "100ms")
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "takes no new messages; calls under way: 1.")
	require.Contains(t, errs, "1 of its calls are still under way after 100ms")

	close(release)
	code, out, errs = drain("--wait", "30s", "--json")
	require.Equal(t, exitDone, code, errs)
	require.Contains(t, out, `"status": "draining"`)
	require.Contains(t, out, `"in_flight": 0`)
	require.Empty(t, posted, "nothing else is posted")

	code, out, _ = drain("--undo")
	require.Equal(t, exitDone, code)
	require.Contains(t, out, "takes messages again")
	next(p, posted)
	next(p, posted)
}

func TestDrainNamesWhatItCannotReach(t *testing.T) {
	t.Parallel()
	free := testserver.FreeAddress(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for address, want := range map[string]string{
		free:                                     "no engine answers on " + free,
		strings.TrimPrefix(other.URL, "http://"): "does not drain: 404 Not Found",
		"127.0.0.1:0":                            "the port of the health probes is 0",
	} {
		var stdout, stderr testlog.Output
		require.Equal(t, exitFailed, Run([]string{"drain", "--health.listen-address", address}, &stdout, &stderr))
		require.Contains(t, stderr.String(), want)
		require.Empty(t, stdout.String())
	}
}

func TestAWaitThatNoEngineTakesIsWrongUsage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"-1s", "1h1s", "soon"} {
		var stdout, stderr testlog.Output
		require.Equal(t, exitUsage, Run([]string{"drain", "--wait=" + text}, &stdout, &stderr))
		require.Contains(t, stderr.String(), `--wait, or the variable OBSERVATORY_WAIT, is "`+text+`": expected a duration from 0s to 1h, such as 30s`)
	}
}
