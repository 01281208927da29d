package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/testserver"
)

// Of three processes that follow a Message-DB the one that does is killed, again and
// again: each message is posted, few twice, and none waits for long.
func TestAKilledProcessIsReplacedWithinSeconds(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	posted := map[string]int{}
	var longest time.Duration
	last := time.Now()
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, time.Since(last))
		last = time.Now()
		posted[r.Header.Get("Ce-Id")]++
	}))
	t.Cleanup(target.Close)
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(posted)
	}

	db := testserver.MessageDB(t)
	start := func() *process {
		return serveFile(t, nil, nil, `[observatory]`, `name = "shop"`,
			`[event_store]`, `provider = "message_db"`, fmt.Sprintf("database_uri = %q", db.URL),
			`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `subscription_type = "event_store"`,
			fmt.Sprintf("deliver = %q", target.URL))
	}
	standby := func(p *process) bool {
		return strings.Contains(p.scrape(), `group="Mailer",handler="Mailer",reason="standby",stream="shop::order",subscription="Mailer"} 1`)
	}
	running := []*process{start(), start(), start()}
	require.Contains(t, running[0].stderr.String(), "event store")

	store, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	const rounds, messages = 3, 300
	n := 0
	write := func(k int) {
		for range k {
			n++
			_, err := store.Append(t.Context(), eventstoretest.Event(t, fmt.Sprint("shop::order-", n%20), fmt.Sprint("e-", n)))
			require.NoError(t, err)
		}
	}
	for range rounds {
		var others []*process
		var owner *process
		for _, p := range running {
			if standby(p) {
				others = append(others, p)
			} else {
				owner = p
			}
		}
		require.Len(t, others, 2)
		write(messages / rounds / 2)
		others[0].until("it posts", func() bool { return count() > n/2 })
		require.NoError(t, owner.cmd.Process.Kill())
		<-owner.ended
		write(messages / rounds / 2)
		others[0].until("all are posted", func() bool { return count() == n })
		running = append(others, start())
		others[0].until("the new one stands by", func() bool { return standby(running[2]) })
	}
	mu.Lock()
	defer mu.Unlock()
	repeated := 0
	for _, times := range posted {
		repeated += times - 1
	}
	t.Logf("%d messages, %d processes killed: %d posted twice, at most %s without a post", n, rounds, repeated, longest.Round(time.Millisecond))
	require.LessOrEqual(t, repeated, rounds*30, "at most what was in flight, or handled since the position was saved")
}

func TestCheckAndSubscriptionsKnowTheEventStore(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	path := shoptest.Configure(t, `[observatory]`, `name = "shop"`,
		`[event_store]`, `provider = "message_db"`, fmt.Sprintf("database_uri = %q", db.URL),
		`[observatory.handlers.Mailer]`, `stream = "shop::order"`, `subscription_type = "event_store"`, `deliver = "log:"`,
		`[observatory.handlers.Other]`, `stream = "shop::stock"`, `deliver = "log:"`) // on a broker in the memory of another process
	r := observatory("check", "--config", path)
	require.Equal(t, 2, r.code, "the broker in memory is warned of")
	require.Contains(t, r.stdout, "beside one that has a handler of this name both handle everything")

	store, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	_, err = store.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e-1"))
	require.NoError(t, err)
	r = observatory("subscriptions", "--config", path)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^Mailer +shop::order +event_store +1 +0 `, r.stdout)
	require.Regexp(t, `(?m)^Other +shop::stock +stream +- +- +- +-$`, r.stdout)
}
