package messagedb_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// run runs a subscription until stop is called, or the test ends.
func run(t *testing.T, s *messagedb.Store, category string, fn handler.Func) (stop func()) {
	t.Helper()
	return runLogging(t, s, category, slog.New(slog.DiscardHandler), fn)
}

func runLogging(t *testing.T, s *messagedb.Store, category string, log *slog.Logger, fn handler.Func) (stop func()) {
	t.Helper()
	c := subscription.Config{Handler: "h", Stream: category, MessagesPerTick: 10}
	c.Retry.MaxAttempts, c.Retry.Delay = 2, 50*time.Millisecond
	r, err := subscription.New(c.WithDefaults(), catchup.Over(s), fn, subscription.Environment{Meter: noop.Meter{}, Logger: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, context.Background()) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return stop
}

func count(t *testing.T, conn *pgx.Conn, where string) (n int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM messages WHERE "+where).Scan(&n))
	return n
}

func TestASubscriptionGoesOnAfterAStopAndGivesUpWhatFails(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	got := make(chan string, 100)
	fn := func(_ context.Context, m *message.Envelope) error {
		got <- m.Metadata.Headers.ID
		if m.Metadata.Headers.ID == "bad" {
			return fmt.Errorf("no")
		}
		return nil
	}
	appendEvent := func(stream, id string) {
		_, err := s.Append(t.Context(), eventstoretest.Event(t, stream, id))
		require.NoError(t, err)
	}
	stop := run(t, s, "shop::order", fn)
	appendEvent("shop::order-1", "bad")
	appendEvent("shop::order-2", "e-1")
	seen := []string{<-got, <-got, <-got}
	require.ElementsMatch(t, []string{"bad", "e-1", "bad"}, seen)
	require.Eventually(t, func() bool {
		return count(t, conn, `type = 'Exhausted' AND data->>'message_id' = 'bad' AND stream_name = 'failed-h-shop::order'`) == 1
	}, 10*time.Second, 20*time.Millisecond)
	stop()
	state, err := s.LoadPosition(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	require.Empty(t, state.Failed)
	require.False(t, state.Interrupted)

	appendEvent("shop::order-1", "e-2")
	run(t, s, "shop::order", fn)
	require.Equal(t, "e-2", <-got)
	require.Empty(t, got)
}

// Its own positions are among the messages that it reads.
func TestASubscriptionToAllMessagesDoesNotFeedItself(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s, conn := open(t, db), direct(t, db)
	got := make(chan string, 100)
	stop := run(t, s, catchup.All, func(_ context.Context, m *message.Envelope) error {
		got <- m.Metadata.Headers.ID
		return nil
	})
	for i := range 3 {
		_, err := s.Append(t.Context(), eventstoretest.Event(t, fmt.Sprint("shop::c", i, "-1"), fmt.Sprint("e-", i)))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("e-", i), <-got)
	}
	const snapshot = "SELECT write_message(gen_random_uuid()::varchar, 'shop::c1:snapshot-1', 'SNAPSHOT', '{}')"
	_, err := conn.Exec(t.Context(), snapshot)
	require.NoError(t, err)
	// A position is saved a second after the last message. Once that is done there
	// is nothing to save for what was saved: two seconds more show it.
	require.Eventually(t, func() bool {
		state, err := s.LoadPosition(t.Context(), "h", catchup.All)
		require.NoError(t, err)
		return state.Position >= 4
	}, 10*time.Second, 20*time.Millisecond)
	rows := count(t, conn, "type = 'Read'")
	time.Sleep(2500 * time.Millisecond)
	require.Equal(t, rows, count(t, conn, "type = 'Read'"))
	stop()
	require.Zero(t, count(t, conn, "type IN ('Failed', 'Exhausted')"))
	require.Empty(t, got)
}

// What docs/configuration.md says the user needs.
func TestTheRoleOfMessageDBIsEnough(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	of := *db
	of.URL = strings.Replace(db.URL, "postgres@", "message_store@", 1)
	require.NotEqual(t, db.URL, of.URL)
	s := open(t, &of)
	require.NoError(t, s.Ping(t.Context()))
	got := make(chan string, 1)
	run(t, s, catchup.All, func(_ context.Context, m *message.Envelope) error {
		got <- m.Metadata.Headers.ID
		return nil
	})
	_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", "e"))
	require.NoError(t, err)
	require.Equal(t, "e", <-got)
	figures, err := s.Source("shop", nil).Collect(t.Context())
	require.NoError(t, err)
	require.Empty(t, figures.Subscriptions)
}

func TestADatabaseWithoutMessageDBIsSaidSo(t *testing.T) {
	t.Parallel()
	s := open(t, testserver.Postgres(t))
	require.ErrorContains(t, s.Ping(t.Context()), "Message-DB is not installed in the database that database_uri names")
	_, err := s.ReadCategory(t.Context(), "shop::order", 0, 1)
	require.ErrorContains(t, err, "Message-DB is not installed")
}

// The answer to a write may be lost: it was made, and is not taken for another's.
func TestALostAnswerDoesNotEndAnOwnership(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	proxy := testserver.Proxy(t, db.Addr)
	of := *db
	of.URL = strings.Replace(db.URL, db.Addr, proxy.Addr, 1)
	s := open(t, &of)
	owner, err := s.Own(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 1}))
	dropped := proxy.DropReply(`{"position":2`)
	require.Error(t, owner.Save(t.Context(), catchup.Change{Position: 2}))
	<-dropped
	require.Equal(t, 1, count(t, direct(t, db), "data->>'position' = '2'"), "it was made")
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 2}))
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 3}))
}
