package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestADeadLetterReplayedByHandAsTheRunbookSaysIsDelivered(t *testing.T) {
	redisServer, database := testserver.StartRedis(t), testserver.Postgres(t)
	var repaired atomic.Bool
	taken := make(chan string, 10)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !repaired.Load() {
			http.Error(w, "no such customer", http.StatusInternalServerError)
			return
		}
		taken <- string(body)
	}))
	t.Cleanup(target.Close)
	observatory, metrics := serve(t, redisServer.URL, database.URL, target.URL)
	broker := redisServer.Client(t)

	place(t, broker, "seven")
	letter, original := deadLetter(t, broker)
	repaired.Store(true)
	claim, remove := replayCommands(t, original, letter)
	claimed, err := broker.Do(t.Context(), claim...).StringSlice()
	require.NoError(t, err)
	require.Equal(t, []string{original}, claimed, "the original is still there")
	require.EqualValues(t, 1, broker.Do(t.Context(), remove...).Val())

	select {
	case body := <-taken:
		require.JSONEq(t, `{"order_id": "seven"}`, body)
	case <-observatory.ended:
		require.FailNow(t, "the observatory ended", "%v", observatory.err)
	case <-time.After(limit):
		require.FailNow(t, "not delivered", "within %s of its replay", limit)
	}
	eventually(t, "it is acknowledged", func() bool {
		return broker.XPending(t.Context(), stream, handler).Val().Count == 0
	})
	require.Zero(t, broker.XLen(t.Context(), stream+":dlq").Val())
	eventually(t, "nothing lags", func() bool { return scrape(t, metrics)["protean_subscription_status"+shared] == 1 })
	require.Empty(t, taken, "once")
	require.NoError(t, observatory.stop(t))
}

// deadLetter waits for one; it returns its id and that of what it replaces.
func deadLetter(t *testing.T, broker *redis.Client) (letter, original string) {
	t.Helper()
	read, err := broker.XRead(t.Context(), &redis.XReadArgs{Streams: []string{stream + ":dlq", "0"}, Block: limit}).Result()
	require.NoError(t, err)
	entry := read[0].Messages[0]
	var content struct {
		DLQ struct {
			OriginalID string `json:"original_id"`
		} `json:"_dlq_metadata"`
	}
	require.NoError(t, json.Unmarshal([]byte(entry.Values["data"].(string)), &content))
	require.NotEmpty(t, content.DLQ.OriginalID)
	return entry.ID, content.DLQ.OriginalID
}

// replayCommands are those of the runbook, with the ids of a letter in place of
// its examples.
func replayCommands(t *testing.T, original, letter string) (claim, remove []any) {
	t.Helper()
	runbook, err := os.ReadFile("../alerts/runbook.md")
	require.NoError(t, err)
	command := func(pattern, id string) []any {
		found := regexp.MustCompile(`(?m)^r (` + pattern + `)`).FindSubmatch(runbook)
		require.NotNil(t, found, "the runbook has no command like %s", pattern)
		var args []any
		for arg := range strings.FieldsSeq(string(found[1])) {
			if strings.HasPrefix(arg, "1700000000") {
				arg = id
			}
			args = append(args, arg)
		}
		return args
	}
	return command(`XCLAIM .* FORCE JUSTID`, original), command(`XDEL \S+:dlq \S+`, letter)
}
