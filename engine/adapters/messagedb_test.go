package adapters_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/testserver"
)

// An application in any language follows a Message-DB: two replicas run, one
// posts, and the other takes over when it stops.
func TestAnApplicationFollowsAMessageDB(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Header.Get("Ce-Id")
	}))
	t.Cleanup(target.Close)
	db := testserver.MessageDB(t)
	file := fmt.Sprintf(`
[event_store]
provider = "message_db"
database_uri = %q
[server.health]
enabled = false
[observatory.handlers.Mailer]
stream = "shop::order"
subscription_type = "event_store"
deliver = %q
`, db.URL, target.URL)

	type replica struct {
		domain *domain.Domain
		engine *engine.Engine
		stop   func()
	}
	start := func() replica {
		c, err := config.Parse("domain.toml", []byte(file))
		require.NoError(t, err)
		d, err := domain.Open(t.Context(), c, adapters.All(), domain.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		require.Empty(t, d.Warnings())
		run, err := d.Config()
		require.NoError(t, err)
		require.NoError(t, run.Health.Checks.EventStore.Ping(t.Context()))
		e, err := engine.New(run)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		stopped := false
		stop := func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			require.NoError(t, <-ended)
			require.NoError(t, d.Close(context.Background()))
		}
		t.Cleanup(stop)
		return replica{d, e, stop}
	}
	first := start()
	store, err := messagedb.New(messagedb.Config{URI: func() (string, error) { return db.URL, nil }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	appendEvent := func(id string) {
		_, err := store.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", id))
		require.NoError(t, err)
		require.Equal(t, id, <-got)
	}
	appendEvent("e-1")
	second := start()
	appendEvent("e-2")
	require.Eventually(t, func() bool { return len(second.engine.Status().Subscriptions[0].Gate) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.EqualValues(t, "standby", second.engine.Status().Subscriptions[0].Gate[0])

	first.stop()
	appendEvent("e-3")
	require.Empty(t, second.engine.Status().Subscriptions[0].Gate)
	figures := func() collector.Subscription {
		sources := second.domain.Sources()
		f, err := sources[len(sources)-1].Collect(t.Context())
		require.NoError(t, err)
		require.Equal(t, "event_store", f.Subscriptions[0].Type)
		return f.Subscriptions[0]
	}
	require.Eventually(t, func() bool { return figures().Lag == collector.Known(0) }, 10*time.Second, 50*time.Millisecond)
	second.stop()
	require.Empty(t, got, "each was posted once")
}

// Python publishes its commands to the event store alone, whatever the type of the
// subscriptions.
func TestCommandsAreReadFromTheEventStoreToo(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	c, err := config.Parse("domain.toml", fmt.Appendf(nil, `
[event_store]
provider = "message_db"
database_uri = %q
[server]
default_subscription_type = "stream"
health.enabled = false
`, db.URL))
	require.NoError(t, err)
	d, err := domain.Open(t.Context(), c, adapters.All(), domain.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	got := make(chan string, 10)
	handle := func(_ context.Context, m *message.Envelope) error {
		got <- m.Metadata.Headers.ID
		return nil
	}
	require.NoError(t, d.Register(handler.Commands("shop.Orders", "shop::order", handler.Route{Type: "Shop.Place.v1", Func: handle})))
	store := d.EventStore().(*messagedb.Store)
	for i, asynchronous := range []bool{false, true} {
		command, err := message.New(message.KindCommand, message.Headers{ID: fmt.Sprint("c-", i), Type: "Shop.Place.v1", Stream: "shop::order:command-1"}, []byte("{}"))
		require.NoError(t, err)
		command.Metadata.Domain.Asynchronous = asynchronous
		_, err = store.Append(t.Context(), command)
		require.NoError(t, err)
	}
	run, err := d.Config()
	require.NoError(t, err)
	e, err := engine.New(run)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	require.Equal(t, "c-1", <-got, "the first was handled where it was made")
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, d.Close(context.Background()))
	require.Empty(t, got)
}
