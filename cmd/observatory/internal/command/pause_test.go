package command

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestAHandlerIsPausedAndResumedOnItsServer(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	path := shopOf(t, server.URL)
	r := observatory("subscriptions", "pause", "Mailer", "--reason", "the mail server moves", "--by", "ann@ops", "--config", path)
	require.Equal(t, result{code: exitDone, stdout: "Mailer on shop::order (group Mailer) paused by ann@ops\n"}, r)
	require.Contains(t, server.Client(t).Get(t.Context(), "observatory:{shop::order}:pause:Mailer").Val(), "the mail server moves")

	r = observatory("subscriptions", "pause", "Mailer", "--reason", "again", "--config", path)
	require.Equal(t, exitDone, r.code)
	require.Regexp(t, `^Mailer on shop::order \(group Mailer\) is paused already, by ann@ops since 20\d\d-\S+Z: the mail server moves\n$`, r.stdout)

	r = observatory("subscriptions", "--config", path)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^Mailer +shop::order .* paused, no stream$`, r.stdout)
	require.Regexp(t, `(?m)^Mailer on shop::order is paused by ann@ops since 20\S+Z: the mail server moves$`, r.stdout)
	r = observatory("subscriptions", "list", "Mailer", "--config", path)
	require.Regexp(t, `(?m)^    paused +by ann@ops since 20\S+Z: the mail server moves$`, r.stdout)
	r = observatory("subscriptions", "--json", "--config", path)
	var list struct {
		Subscriptions []struct {
			Handler string
			Paused  *struct {
				By, Reason string
				Since      time.Time
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
	require.Equal(t, "ann@ops", list.Subscriptions[0].Paused.By)
	require.WithinDuration(t, time.Now(), list.Subscriptions[0].Paused.Since, time.Minute)
	require.Nil(t, list.Subscriptions[1].Paused)

	r = observatory("subscriptions", "resume", "Mailer", "--json", "--by", "ben", "--reason", "moved", "--config", path)
	require.Equal(t, exitDone, r.code, r.stderr)
	var changes []map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &changes))
	require.Len(t, changes, 1)
	require.NotEmpty(t, changes[0]["at"])
	delete(changes[0], "at")
	require.Equal(t, map[string]any{
		"handler": "Mailer", "stream": stream, "group": "Mailer", "changed": true, "paused": false, "by": "ben", "reason": "moved", "error": "",
	}, changes[0])
	r = observatory("subscriptions", "resume", "Mailer", "--config", path)
	require.Equal(t, result{code: exitDone, stdout: "Mailer on shop::order (group Mailer) is not paused\n"}, r)
	r = observatory("subscriptions", "--config", path)
	require.NotContains(t, r.stdout, "paused")
}

func TestWhoPausesIsTheUserAndMachineUnlessNamed(t *testing.T) {
	t.Parallel()
	path := shopOf(t, testserver.StartRedis(t).URL)
	r := observatory("subscriptions", "pause", "Mailer", "--reason", "x", "--config", path)
	require.Regexp(t, ` paused by \S+@\S+\n$`, r.stdout)
}

func TestAPauseThatCannotBeKeptIsAnErrorWithItsReason(t *testing.T) {
	t.Parallel()
	path := shopOf(t, "redis://:hunter2@"+testserver.FreeAddress(t))
	r := observatory("subscriptions", "pause", "Mailer", "--reason", "x", "--config", path)
	require.Equal(t, exitFailed, r.code)
	require.Empty(t, r.stdout)
	require.Regexp(t, `^observatory: cannot pause Mailer on shop::order: .*connection refused\n$`, r.stderr)
	require.NotContains(t, r.stderr, "hunter2")

	r = observatory("subscriptions", "pause", "Nope", "--reason", "x", "--config", path)
	require.Equal(t, result{code: exitFailed, stderr: "observatory: there is no handler \"Nope\" in the file: expected one of Mailer, Report\n"}, r)
	r = observatory("subscriptions", "pause", "Mailer", "--reason", " ", "--config", path)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "a pause needs a reason")
	for _, args := range [][]string{{"pause", "Mailer"}, {"pause", "--reason", "x"}, {"resume"}} {
		r = observatory(append([]string{"subscriptions"}, args...)...)
		require.Equal(t, exitUsage, r.code, args)
	}
}

// It would say "paused" of a broker that ends with the command.
func TestAHandlerInMemoryIsNotPausedByACommand(t *testing.T) {
	t.Parallel()
	mixed := `[observatory.handlers.Mailer]
stream = "shop::order"
deliver = "log:"
`
	r := observatory("subscriptions", "pause", "Mailer", "--reason", "x", "--config", shoptest.Configure(t, mixed))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "in the memory of the process")
	withStore := mixed + `[observatory.handlers.Report]
stream = "shop::order"
deliver = "log:"
subscription_type = "event_store"
[event_store]
provider = "message_db"
database_uri = "postgresql://me@127.0.0.1:1/x"
`
	r = observatory("subscriptions", "pause", "Mailer", "--reason", "x", "--config", shoptest.Configure(t, withStore))
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "in the memory of the process")
}
