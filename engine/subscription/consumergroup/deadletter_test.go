package consumergroup_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// onRedis is the source of one subscription on a server behind a proxy.
type onRedis struct {
	subscription.Source
	stream string
	client *redis.Client
	proxy  *testserver.FaultProxy
	logs   testlog.Output
	tasks  []*subscription.Task // two that are to be given up
}

func startOnRedis(t *testing.T) *onRedis {
	t.Helper()
	server := testserver.Redis(t)
	r := &onRedis{stream: testserver.Name(t), client: server.Client(t), proxy: testserver.Proxy(t, server.Addr)}
	b, err := redisbroker.New(redisbroker.Config{
		URI: func() (string, error) { return server.Via(r.proxy.Addr), nil }, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background())) })
	for range 3 {
		require.NoError(t, r.client.XAdd(t.Context(), &redis.XAddArgs{Stream: r.stream, Values: []string{"data", "{}"}}).Err())
	}
	r.Source = consumergroup.Over(b).Open(subscription.Config{
		Handler: "h", Group: "g", Stream: r.stream, ClaimIdle: time.Second, DeadLetters: true,
	}.WithDefaults(), slog.New(slog.NewTextHandler(&r.logs, nil)))
	r.tasks, err = r.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, r.tasks, 3)
	for _, task := range r.tasks {
		task.Err, task.FailedAt = errors.New("broken"), time.Now()
	}
	// With the first the server learns the script, which is then sent once.
	_, err = r.GiveUp(t.Context(), r.tasks[:1])
	require.NoError(t, err)
	require.NoError(t, r.client.Del(t.Context(), deadletter.QueueOf(r.stream)).Err())
	r.tasks = r.tasks[1:]
	return r
}

// giveUpWithoutAnswer tries to give both tasks up: the request is lost, or its
// reply is.
func (r *onRedis) giveUpWithoutAnswer(t *testing.T, replyLost bool) {
	t.Helper()
	if replyLost {
		dropped := r.proxy.DropReply(`"consumer_group"`)
		_, err := r.GiveUp(t.Context(), r.tasks)
		require.Error(t, err)
		<-dropped
		require.EqualValues(t, 2, r.deadLetters(t))
		return
	}
	r.proxy.Down()
	_, err := r.GiveUp(t.Context(), r.tasks)
	require.Error(t, err)
	r.proxy.Up()
	require.Zero(t, r.deadLetters(t))
}

func (r *onRedis) deleteConsumers(t *testing.T) {
	t.Helper()
	consumers, err := r.client.XInfoConsumers(t.Context(), r.stream, "g").Result()
	require.NoError(t, err)
	for _, c := range consumers {
		require.NoError(t, r.client.XGroupDelConsumer(t.Context(), r.stream, "g", c.Name).Err())
	}
}

func (r *onRedis) deadLetters(t *testing.T) int64 {
	t.Helper()
	n, err := r.client.XLen(t.Context(), deadletter.QueueOf(r.stream)).Result()
	require.NoError(t, err)
	return n
}

func TestADeadLetterWhoseTryHadNoAnswerIsInTheQueueOnceTheConsumerWasDeleted(t *testing.T) {
	t.Parallel()
	for name, replyLost := range map[string]bool{"the request is lost": false, "the reply is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startOnRedis(t)
			r.giveUpWithoutAnswer(t, replyLost)
			r.deleteConsumers(t)
			lost, err := r.GiveUp(t.Context(), r.tasks)
			require.NoError(t, err)
			require.Empty(t, lost)
			require.EqualValues(t, 2, r.deadLetters(t), "each once")
			require.NoError(t, r.Close(t.Context()))
			require.EqualValues(t, 2, r.deadLetters(t))
		})
	}
}

func TestADeadLetterWhoseTryHadNoAnswerIsWrittenByTheStopOnceTheConsumerWasDeleted(t *testing.T) {
	t.Parallel()
	for name, replyLost := range map[string]bool{"the request is lost": false, "the reply is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startOnRedis(t)
			r.giveUpWithoutAnswer(t, replyLost)
			r.deleteConsumers(t)
			require.NoError(t, r.Close(t.Context()))
			require.EqualValues(t, 2, r.deadLetters(t), "each once")
		})
	}
}

func TestADeadLetterWhoseTryHadNoAnswerIsAnothersWhereItWasClaimed(t *testing.T) {
	t.Parallel()
	r := startOnRedis(t)
	r.giveUpWithoutAnswer(t, false)
	id := r.tasks[1].Delivery.ID
	require.NoError(t, r.client.Do(t.Context(), "XCLAIM", r.stream, "g", "other", 0, id, "JUSTID").Err())
	lost, err := r.GiveUp(t.Context(), r.tasks)
	require.NoError(t, err)
	require.Equal(t, r.tasks[1:], lost)
	require.EqualValues(t, 1, r.deadLetters(t))
}

func TestAStopSaysWhichDeadLetterCannotBeWrittenNorReleased(t *testing.T) {
	t.Parallel()
	r := startOnRedis(t)
	r.giveUpWithoutAnswer(t, false)
	r.deleteConsumers(t)
	require.NoError(t, r.client.Set(t.Context(), deadletter.QueueOf(r.stream), "text", 0).Err())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.Close(ctx))
	require.Equal(t, 2, strings.Count(r.logs.String(), "may not have been written"))
}
