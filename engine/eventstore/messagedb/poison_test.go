package messagedb_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// followVariable makes this program a process that follows the Message-DB at its
// value.
const followVariable = "MESSAGEDB_TEST_FOLLOW"

// follow prints the ids of the messages that it gets, until it gets one that ends
// it.
func follow(url string) {
	s, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return url, nil }})
	if err != nil {
		panic(err)
	}
	c := subscription.Config{Handler: "h", Stream: "shop::order", MessagesPerTick: 20}
	c.Retry.MaxAttempts = 3
	r, err := subscription.New(c.WithDefaults(), catchup.Over(s), func(_ context.Context, m *message.Envelope) error {
		if m.Metadata.Headers.ID == "poison" {
			os.Exit(3)
		}
		fmt.Println(m.Metadata.Headers.ID)
		return nil
	}, subscription.Environment{Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	_ = r.Run(context.Background(), context.Background()) // until it is killed
}

// A message that ends each process that handles it is exhausted after max_retries
// and a few, and its neighbours in the batch are all handled.
func TestAMessageThatEndsEachProcessIsExhausted(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	const messages = 40
	for i := range messages {
		id := fmt.Sprint("e-", i)
		if i == 13 {
			id = "poison"
		}
		_, err := s.Append(t.Context(), eventstoretest.Event(t, fmt.Sprint("shop::order-", i%5), id))
		require.NoError(t, err)
	}
	handled := map[string]bool{}
	ends := 0
	for len(handled) < messages-1 && ends < 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), followVariable+"="+db.URL)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if handled[lines.Text()] = true; len(handled) == messages-1 {
				break
			}
		}
		if len(handled) == messages-1 {
			require.Eventually(t, func() bool {
				return count(t, conn, "type = 'Exhausted' AND data->>'message_id' = 'poison'") == 1
			}, 10*time.Second, 20*time.Millisecond)
			_ = cmd.Process.Kill()
		} else {
			ends++
		}
		_ = cmd.Wait()
	}
	require.Len(t, handled, messages-1)
	require.LessOrEqual(t, ends, 5, "max_retries, the first that was not on record, and the one beyond")
	require.Equal(t, 1, count(t, conn, "type = 'Exhausted'"))
}
