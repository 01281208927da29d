package redisbroker_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// guideRights are the arguments of ACL SETUSER that docs/operations.md tells an
// operator to give, for the streams named orders-…; the user's password is
// "password".
func guideRights(t *testing.T) []string {
	t.Helper()
	guide, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("(?s)redis-cli ACL SETUSER observatory (on .*?)\n```").FindSubmatch(guide)
	require.NotNil(t, lines)
	text := strings.NewReplacer("\\\n", " ", `\|`, "|", "'", "", "~observatory:{shop::order}:*", "~observatory:{orders-*", "~shop::order:dlq", "", "~shop::order", "~orders-*").Replace(string(lines[1]))
	return strings.Fields(text)
}

// operatorRights are those that the guide names for the commands of an operator.
func operatorRights(t *testing.T) []string {
	t.Helper()
	guide, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("redis-cli ACL SETUSER observatory ('~observatory:.*)\n").FindSubmatch(guide)
	require.NotNil(t, lines)
	return strings.Fields(strings.ReplaceAll(string(lines[1]), "'", ""))
}

// guarded is a server, or a cluster, whose user observatory has the rights of the
// guide.
type guarded struct {
	*testing.T
	nodes []*testserver.RedisProcess
	admin redis.UniversalClient
	url   string // as that user
}

func newGuarded(t *testing.T) *guarded {
	server := testserver.StartRedis(t)
	g := &guarded{t, []*testserver.RedisProcess{server}, server.Client(t), server.URL}
	g.give(guideRights(t)...)
	g.url = strings.Replace(g.url, "://", "://observatory:password@", 1)
	return g
}

func newGuardedCluster(t *testing.T) *guarded {
	cluster := testserver.StartRedisCluster(t, 2)
	g := &guarded{t, cluster.Nodes, cluster.Client(t), cluster.URL}
	g.give(append(guideRights(t), "+cluster|slots")...)
	g.url = strings.Replace(g.url, "://", "://observatory:password@", 1)
	return g
}

// give changes the user's rights.
func (g *guarded) give(rights ...string) {
	g.Helper()
	args := []any{"ACL", "SETUSER", "observatory"}
	for _, right := range rights {
		args = append(args, right)
	}
	for _, node := range g.nodes {
		require.NoError(g, node.Client(g.T).Do(g.Context(), args...).Err())
	}
}

func TestTheRightsOfTheOperationsGuideAreEnough(t *testing.T) {
	t.Parallel()
	for name, newServer := range map[string]func(*testing.T) *guarded{"one server": newGuarded, "a cluster": newGuardedCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newServer(t)
			b, stream := open(t, g.url), "orders-"+testserver.Name(t)
			roundTrip(t, b)
			w := newWorker(t, b, stream)
			require.NoError(t, w.work(t.Context()))
			require.Empty(t, w.ids)
			require.EqualValues(t, 3, g.admin.XLen(t.Context(), deadletter.QueueOf(stream)).Val())
			figures, err := b.Source("shop", "default", []collector.Watch{{Domain: "shop", Stream: stream, Group: "g"}}).Collect(t.Context())
			require.NoError(t, err)
			require.Equal(t, collector.Known(1), figures.Brokers[0].Up)
			for _, node := range g.nodes {
				log, err := node.Client(t).ACLLog(t.Context(), 100).Result()
				require.NoError(t, err)
				for _, entry := range log {
					require.Equal(t, "observatory:probe", entry.Object, "nothing else is denied: %+v", entry)
				}
			}
		})
	}
}

// worker is a member of the group "g" with entries that it has read.
type worker struct {
	broker *redisbroker.Broker
	consumergroup.Membership
	stream string
	ids    []string // those that have no dead letter yet
}

func newWorker(t *testing.T, b *redisbroker.Broker, stream string) *worker {
	t.Helper()
	w := &worker{b, join(t, b, stream, "c"), stream, publish(t, b, stream, 3)}
	require.Equal(t, w.ids, idsOf(read(t, w, 3)))
	return w
}

// work does all that members do, up to the dead letter of each entry, and returns
// what went wrong.
func (w *worker) work(ctx context.Context) error {
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	_, err := w.broker.Join(ctx, consumergroup.Member{Stream: w.stream, Group: "other", Consumer: "c"})
	note(err)
	_, _, err = w.Read(ctx, consumergroup.Read{Max: 1})
	note(err)
	_, _, err = w.Pending(ctx, consumergroup.List{Max: 10})
	note(err)
	_, err = w.Renew(ctx, entries(1, w.ids...))
	note(err)
	_, _, err = w.Position(ctx)
	note(err)
	_, err = w.Attempt(ctx, entries(2, w.ids...))
	note(err)
	_, err = w.Release(ctx, entries(2, w.ids[:min(1, len(w.ids))]...))
	note(err)
	_, _, err = w.ClaimReleased(ctx, 10)
	note(err)
	_, err = w.Heartbeat(ctx)
	note(err)
	_, err = w.TakeOver(ctx, consumergroup.Consumer{Name: "dead", Pending: 1}, time.Minute)
	note(err)
	w.ids = slices.DeleteFunc(w.ids, func(id string) bool {
		lost, err := w.DeadLetter(ctx, []deadletter.Entry{{ID: id, Data: []byte(`{"id": "` + id + `"}`)}})
		note(err)
		return err == nil && len(lost) == 0
	})
	note(w.Leave(ctx))
	return errors.Join(errs...)
}

// A right that is missing is named, by the operation and by readiness or the
// collector, costs no entry and leaves no dead letter twice.
func TestEachRightOfTheOperationsGuideIsMissedByName(t *testing.T) {
	t.Parallel()
	for name, newServer := range map[string]func(*testing.T) *guarded{"one server": newGuarded, "a cluster": newGuardedCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newServer(t)
			// What is not listed is needed to consume.
			figuresOnly := map[string]bool{"xlen": true, "info": true, "time": true, "mget": len(g.nodes) == 1, "get": len(g.nodes) > 1}
			optional := map[string]bool{
				"type": true, "xrevrange": true, // for better errors, and against repeated dead letters
				"xtrim": true, "xgroup|delconsumer": true, "xgroup|createconsumer": true, // for retention, and consumers that are gone
				"hset": true, "hgetall": true, "hdel": true, "pexpire": true, // for retention beside what groups have lost
				"xread": true, "client|id": true, "client|unblock": true, // for wake-ups
				"set": true, "mget": len(g.nodes) > 1, "get": len(g.nodes) == 1, // for an operator who pauses
			}
			for _, given := range guideRights(t) {
				right, ok := strings.CutPrefix(given, "+")
				if !ok {
					continue
				}
				stream, log := "orders-"+testserver.Name(t)+"-"+right, &testlog.Output{}
				b := open(t, g.url, func(c *redisbroker.Config) { c.Logger = log.Logger() })
				w := newWorker(t, b, stream)
				source := b.Source("shop", "default", []collector.Watch{{Domain: "shop", Stream: stream, Group: "g"}})
				state := func() (err error, up collector.Value, figuresErr error) {
					err = b.Ping(t.Context())
					figures, figuresErr := source.Collect(t.Context())
					return err, figures.Brokers[0].Up, figuresErr
				}
				accounted := func() {
					pending := g.admin.XPending(t.Context(), stream, "g").Val().Count
					written := g.admin.XLen(t.Context(), deadletter.QueueOf(stream)).Val()
					require.EqualValues(t, 3, pending+written, "without %s: %d pending, %d dead letters", right, pending, written)
				}

				g.give("-" + right)
				for _, node := range g.nodes {
					require.NoError(t, node.Client(t).ScriptFlush(t.Context()).Err())
				}
				for round := range 3 {
					err := w.work(t.Context())
					ready, up, figuresErr := state()
					accounted()
					switch {
					case optional[right], figuresOnly[right]:
						require.NoError(t, err, right)
						require.NoError(t, ready, right)
						require.Equal(t, collector.Known(1), up, right)
						if figuresOnly[right] {
							require.ErrorContains(t, figuresErr, "'"+right)
						}
					default:
						if right != "ping" { // of which work knows nothing
							if round == 0 { // later there may be no entry left that needs it
								require.ErrorContains(t, err, "'"+right, right)
							}
							require.ErrorContains(t, ready, stream)
							require.Contains(t, log.String(), "the server refuses that entries are consumed")
							require.Contains(t, log.String(), "stream="+stream)
							require.LessOrEqual(t, strings.Count(log.String(), "group=g"), 1, "%s", log)
							require.LessOrEqual(t, strings.Count(log.String(), "group=other"), 1, "%s", log)
						}
						require.ErrorContains(t, ready, "'"+right)
						require.Equal(t, collector.Known(0), up, right)
					}
				}

				g.give(given)
				require.NoError(t, w.work(t.Context()), right)
				ready, up, figuresErr := state()
				require.NoError(t, ready, right)
				require.NoError(t, figuresErr, right)
				require.Equal(t, collector.Known(1), up, right)
				require.EqualValues(t, 3, g.admin.XLen(t.Context(), deadletter.QueueOf(stream)).Val(), right)
				accounted()
			}
		})
	}
}

func TestWithoutTheRightToTrimEntriesAreConsumedAllTheSame(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.give("-xtrim")
	w := newWorker(t, open(t, g.url), "orders-"+testserver.Name(t))
	require.NoError(t, w.Ack(t.Context(), w.ids))
	_, err := w.Trim(t.Context(), consumergroup.Retention{MaxLen: 1})
	require.ErrorContains(t, err, "the user needs the rights to XTRIM and XLEN")
	require.NoError(t, w.broker.Ping(t.Context()))
	require.NoError(t, w.work(t.Context()))
}

func TestARightThatIsMissingOnOneStreamIsLoggedOnceForThatStream(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	r := newRefusing(t, g.url)
	there, gone := join(t, r.broker, "orders-1", "c"), join(t, r.broker, "orders-2", "c")
	r.require("")

	g.give("resetkeys", "~orders-1", "~orders-1:dlq")
	for range 3 {
		_, _, err := gone.Read(t.Context(), consumergroup.Read{Max: 1})
		require.ErrorContains(t, err, "NOPERM")
		require.Empty(t, read(t, there, 1))
		r.require("orders-2")
	}
	r.requireLogged("stream=orders-2", 1, 0)
	require.NotContains(t, r.log.String(), "orders-1")

	g.give("~orders-*")
	r.require("")
	require.Empty(t, read(t, gone, 1))
	r.requireLogged("stream=orders-2", 1, 1)
}
