package redisbroker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&clientLog)
	os.Exit(testserver.Main(m))
}

// clientLog is what go-redis would have printed on standard error.
var clientLog clientLogger

type clientLogger struct{ testlog.Output }

func (l *clientLogger) Printf(_ context.Context, format string, args ...any) {
	fmt.Fprintf(l, format+"\n", args...)
}

// at is a config's URI that never changes.
func at(uri string) func() (string, error) {
	return func() (string, error) { return uri, nil }
}

// open returns a broker of the server at uri, closed at the end of the test.
func open(t *testing.T, uri string, set ...func(*redisbroker.Config)) *redisbroker.Broker {
	t.Helper()
	config := redisbroker.Config{URI: at(uri), Logger: slog.New(slog.DiscardHandler)}
	for _, s := range set {
		s(&config)
	}
	b, err := redisbroker.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	return b
}

// shortTimeout waits for a reply for a second.
func shortTimeout(c *redisbroker.Config) { c.SocketTimeout = time.Second }

func join(t *testing.T, b *redisbroker.Broker, stream, consumer string) consumergroup.Membership {
	t.Helper()
	s, err := b.Join(t.Context(), member(stream, consumer))
	require.NoError(t, err)
	return s
}

// member is a consumer of the group "g".
func member(stream, consumer string) consumergroup.Member {
	return consumergroup.Member{Stream: stream, Group: "g", Consumer: consumer}
}

// publish adds n entries and returns their ids.
func publish(t *testing.T, b *redisbroker.Broker, stream string, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		var err error
		ids[i], err = b.Publish(t.Context(), stream, text(fmt.Sprintf(`{"n": %d}`, i)))
		require.NoError(t, err)
	}
	return ids
}

func text(value string) message.Field {
	return message.Field{Name: message.DataField, Value: []byte(value)}
}

// read takes up to n entries without waiting.
func read(t *testing.T, s consumergroup.Membership, n int) []message.Delivery {
	t.Helper()
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: n})
	require.NoError(t, err)
	require.True(t, acked)
	return got
}

func pending(t *testing.T, s consumergroup.Membership) []message.Delivery {
	t.Helper()
	got, _, err := s.Pending(t.Context(), consumergroup.List{Max: 100})
	require.NoError(t, err)
	return got
}

// operated is a broker and what an operator of its server may do by hand.
type operated struct {
	*redisbroker.Broker
	server redis.UniversalClient
}

func (o operated) DestroyGroup(ctx context.Context, stream, group string) error {
	return o.server.XGroupDestroy(ctx, stream, group).Err()
}

func (o operated) DeleteConsumer(ctx context.Context, stream, group, consumer string) error {
	return o.server.XGroupDelConsumer(ctx, stream, group, consumer).Err()
}

func (o operated) DeleteStream(ctx context.Context, stream string) error {
	return o.server.Del(ctx, stream).Err()
}

func (o operated) Claim(ctx context.Context, stream, group, consumer, id string, count int) error {
	return o.server.Do(ctx, "XCLAIM", stream, group, consumer, 0, id, "RETRYCOUNT", count, "FORCE", "JUSTID").Err()
}

func idsOf(deliveries []message.Delivery) []string {
	ids := make([]string, len(deliveries))
	for i, d := range deliveries {
		ids[i] = d.ID
	}
	return ids
}

func entries(attempts int, ids ...string) []consumergroup.Entry {
	all := make([]consumergroup.Entry, len(ids))
	for i, id := range ids {
		all[i] = consumergroup.Entry{ID: id, Attempts: attempts}
	}
	return all
}
