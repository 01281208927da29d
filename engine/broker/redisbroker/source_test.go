package redisbroker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/testserver"
)

// site is a stream with a group "g", inspected through a broker.
type site struct {
	*testing.T
	redis  *redis.Client
	broker *redisbroker.Broker
	stream string
}

func newSite(t *testing.T) *site {
	server := testserver.Redis(t)
	return &site{t, server.Client(t), open(t, server.URL), testserver.Name(t)}
}

// do runs a command as an operator would, by hand.
func (s *site) do(args ...any) any {
	s.Helper()
	reply, err := s.redis.Do(s.Context(), args...).Result()
	if !errors.Is(err, redis.Nil) {
		require.NoError(s, err, args)
	}
	return reply
}

// add adds the entries from-0 to to-0.
func (s *site) add(from, to int) {
	s.Helper()
	pipe := s.redis.Pipeline()
	for n := from; n <= to; n++ {
		pipe.Do(s.Context(), "XADD", s.stream, fmt.Sprintf("%d-0", n), "data", "{}")
	}
	_, err := pipe.Exec(s.Context())
	require.NoError(s, err)
}

func (s *site) group(name, start string) {
	s.Helper()
	s.do("XGROUP", "CREATE", s.stream, name, start, "MKSTREAM")
}

func (s *site) read(n int) {
	s.Helper()
	s.do("XREADGROUP", "GROUP", "g", "c", "COUNT", n, "STREAMS", s.stream, ">")
}

func (s *site) watch(group string) collector.Watch {
	return collector.Watch{Domain: "shop", Handler: "H", Group: group, Stream: s.stream, Type: "stream"}
}

func (s *site) inspect(watched ...collector.Watch) collector.Figures {
	s.Helper()
	figures, err := s.broker.Source("shop", "default", watched).Collect(s.Context())
	require.NoError(s, err)
	return figures
}

func (s *site) subscription(group string) collector.Subscription {
	s.Helper()
	figures := s.inspect(s.watch(group))
	require.Len(s, figures.Subscriptions, 1)
	return figures.Subscriptions[0]
}

// requireLag compares the lag, which must be exact, with what is counted.
func (s *site) requireLag(group string, want int) {
	s.Helper()
	got := s.subscription(group)
	require.Equal(s, collector.Known(float64(want)), got.Lag)
	require.Equal(s, collector.Known(1), got.LagExact)
}

func TestAGroupThatReadEverythingHasNoLagAfterUnreadEntriesWereTrimmed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 10)
	s.read(4)
	s.do("XTRIM", s.stream, "MAXLEN", 3)
	s.requireLag("g", 3)
	s.read(1)
	s.requireLag("g", 2)
	s.read(5)
	s.requireLag("g", 0)
	s.add(11, 15)
	s.requireLag("g", 5)
}

func TestAnEmptyStreamHasNoLag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 1)
	s.do("XDEL", s.stream, "1-0")
	s.requireLag("g", 0)
}

func TestALagThatRedisDoesNotKnowIsCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 10)
	s.read(3)
	s.do("XDEL", s.stream, "7-0")
	s.requireLag("g", 6)
}

func TestAGroupCreatedInMidStreamHasTheLagOfWhatFollows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(1, 2500)
	s.group("middle", "300-0")
	s.group("end", "$")
	s.group("start", "0")
	s.requireLag("middle", 2200)
	s.requireLag("end", 0)
	s.requireLag("start", 2500)
}

func TestCountingIsBoundedAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 10_500)
	s.read(3)
	s.do("XDEL", s.stream, "7-0")
	got := s.subscription("g")
	require.Equal(t, collector.Known(10_000), got.Lag)
	require.Equal(t, collector.Known(0), got.LagExact, "a lower bound")
}

func TestALagThatNothingProvesIsNotCalledExact(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 5000)
	s.read(100)
	for n := 101; n <= 200; n++ {
		s.do("XDEL", s.stream, fmt.Sprintf("%d-0", n))
	}
	s.read(1000) // past the hole: in the difference what was deleted stays for ever
	got := s.subscription("g")
	require.Equal(t, collector.Known(3900), got.Lag, "3800 is true")
	require.Equal(t, collector.Known(0), got.LagExact)
}

func TestEntriesThatAllWereDeletedAreNoLag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 5)
	s.read(3)
	s.do("XDEL", s.stream, "4-0", "5-0")
	s.requireLag("g", 0)
	require.Equal(t, collector.Known(0), s.subscription("g").LagSeconds)
}

// Whatever is done to a stream, a lag that is called exact is the number of
// entries behind the group.
func TestALagThatIsCalledExactIsTrue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s.group("g", "0")
	next := 1
	for range 400 {
		switch random.IntN(8) {
		case 0, 1:
			n := 1 + random.IntN(8)
			s.add(next, next+n-1)
			next += n
		case 2, 3:
			s.read(1 + random.IntN(6))
		case 4:
			s.do("XTRIM", s.stream, "MAXLEN", random.IntN(30))
		case 5:
			s.do("XDEL", s.stream, fmt.Sprintf("%d-0", 1+random.IntN(next)))
		case 6:
			if random.IntN(5) == 0 {
				s.do("XGROUP", "SETID", s.stream, "g", fmt.Sprintf("%d-0", random.IntN(next)))
			}
		case 7:
			if random.IntN(5) == 0 {
				s.setEntriesRead(fmt.Sprintf("%d-0", random.IntN(next)), random.IntN(2*next))
			}
		}
		s.requireLag("g", s.behind("g"))
	}
}

// setEntriesRead moves the group "g" as an operator does who gives a number of
// entries that it has read, which may be false. Redis 6.2 has no such number.
func (s *site) setEntriesRead(id string, n int) {
	s.Helper()
	s.do("XGROUP", "SETID", s.stream, "g", id, "ENTRIESREAD", n)
}

func TestALagFromAFalseNumberOfEntriesReadIsCountedOrNotCalledExact(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 900)
	for _, said := range []int{1, 399, 400, 401, 899, 900, 5000} { // 400 is true
		s.setEntriesRead("400-0", said)
		s.requireLag("g", 500)
	}
	s.add(901, 5000)
	for _, said := range []int{300, 3999, 4500} { // more than are counted to check a figure
		s.setEntriesRead("400-0", said)
		got := s.subscription("g")
		if got.LagExact == collector.Known(1) {
			require.Equal(t, collector.Known(4600), got.Lag, "entries read: %d", said)
		}
	}
	s.setEntriesRead("400-0", 300)
	require.Equal(t, collector.Known(0), s.subscription("g").LagExact)
	require.Equal(t, collector.Known(4700), s.subscription("g").Lag, "Redis' own figure, which may be false")
}

func TestLargeEntriesAreNotFetchedToBeCounted(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	s := &site{t, server.Client(t), open(t, server.URL), testserver.Name(t)}
	s.group("g", "0")
	large := strings.Repeat("x", 1<<20)
	for range 60 {
		s.do("XADD", s.stream, "*", "data", large)
	}
	s.read(10)
	before := s.sent()
	got := s.subscription("g")
	require.Equal(t, collector.Known(50), got.Lag)
	require.Equal(t, collector.Known(0), got.LagExact)
	require.True(t, got.LagSeconds.Known)
	require.Less(t, s.sent()-before, 8<<20, "the first and the last entry, and the first behind the group")
}

// sent is how many bytes the server has sent.
func (s *site) sent() int {
	s.Helper()
	_, rest, _ := strings.Cut(s.redis.Info(s.Context(), "stats").Val(), "total_net_output_bytes:")
	line, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(line)
	require.NoError(s, err)
	return n
}

// behind counts the entries behind a group.
func (s *site) behind(group string) int {
	groups, err := s.redis.XInfoGroups(s.Context(), s.stream).Result()
	require.NoError(s, err)
	require.Equal(s, group, groups[0].Name)
	entries, err := s.redis.XRange(s.Context(), s.stream, "("+groups[0].LastDeliveredID, "+").Result()
	require.NoError(s, err)
	return len(entries)
}

func TestAgesAreThoseOfTheEntriesNotOfTheirLastClaim(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now, err := s.redis.Time(t.Context()).Result()
	require.NoError(t, err)
	hour, minute := now.Add(-time.Hour).UnixMilli(), now.Add(-time.Minute).UnixMilli()
	s.group("g", "0")
	s.do("XADD", s.stream, fmt.Sprintf("%d-0", hour), "data", "{}")
	s.read(1)
	s.do("XADD", s.stream, fmt.Sprintf("%d-0", minute), "data", "{}")
	s.do("XCLAIM", s.stream, "g", "other", 0, fmt.Sprintf("%d-0", hour))

	got := s.subscription("g")
	require.Equal(t, collector.Known(1), got.Pending)
	require.InDelta(t, 3600, got.OldestUnfinishedSeconds.V, 50)
	require.InDelta(t, 60, got.LagSeconds.V, 50)

	s.do("XACK", s.stream, "g", fmt.Sprintf("%d-0", hour))
	got = s.subscription("g")
	require.Equal(t, collector.Known(0), got.Pending)
	require.InDelta(t, 60, got.OldestUnfinishedSeconds.V, 50)

	s.read(1)
	s.do("XACK", s.stream, "g", fmt.Sprintf("%d-0", minute))
	got = s.subscription("g")
	require.Equal(t, collector.Known(0), got.LagSeconds)
	require.Equal(t, collector.Known(0), got.OldestUnfinishedSeconds)
}

func TestAGroupAheadOfItsStreamShows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(1, 2)
	s.group("g", "2-0")
	require.Equal(t, collector.Known(0), s.subscription("g").PositionAhead)
	s.do("XGROUP", "SETID", s.stream, "g", "3-0")
	require.Equal(t, collector.Known(1), s.subscription("g").PositionAhead)
}

func TestLifeIsAskedForWhereThereIsWork(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	require.False(t, s.subscription("g").LastSeenSeconds.Known, "nothing to do")
	require.Equal(t, collector.Known(0), s.subscription("g").OldestPendingSeconds)

	hour := fmt.Sprintf("%d-0", time.Now().Add(-time.Hour).UnixMilli())
	s.do("XADD", s.stream, hour, "data", "{}")
	require.True(t, math.IsInf(s.subscription("g").LastSeenSeconds.V, 1), "it has no consumer")

	s.read(1)
	s.do("XCLAIM", s.stream, "g", "reader-of-long-ago", 0, hour, "IDLE", 90_000, "JUSTID")
	got := s.subscription("g")
	require.InDelta(t, 0, got.LastSeenSeconds.V, 50, "the other one has just read")
	require.InDelta(t, 3600, got.OldestPendingSeconds.V, 50)
}

func TestAnEntryWhoseIDIsNoTimeHasNoAge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 2)
	got := s.subscription("g")
	require.Equal(t, collector.Known(2), got.Lag)
	require.False(t, got.LagSeconds.Known)
	require.False(t, got.OldestUnfinishedSeconds.Known)
}

func TestEachFigureOfAStreamIsThereOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 7)
	s.read(3)
	s.do("XADD", s.stream+":dlq", "*", "data", "{}")
	second := s.watch("g")
	second.Handler = "Other"
	figures := s.inspect(s.watch("g"), second)

	require.Len(t, figures.Subscriptions, 2)
	require.InDelta(t, 0, figures.Subscriptions[1].LastSeenSeconds.V, 10, "a consumer has just read")
	figures.Subscriptions[1].LastSeenSeconds = collector.Value{}
	require.Equal(t, collector.Subscription{
		Watch: second, Lag: collector.Known(4), LagExact: collector.Known(1), Pending: collector.Known(3),
		DeadLetters: collector.Known(1), EntriesRead: collector.Known(3), PositionAhead: collector.Known(0), Paused: collector.Known(0),
	}, figures.Subscriptions[1])
	require.Equal(t, []collector.Queue{{Domain: "shop", Stream: s.stream + ":dlq", Depth: collector.Known(1)}}, figures.Queues)
	require.Equal(t, []collector.Stream{{Domain: "shop", Stream: s.stream, EntriesAdded: collector.Known(7)}}, figures.Streams)
}

func TestWhatDoesNotExistHasNoFiguresAndIsNoError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	figures := s.inspect(s.watch("g"))
	require.Empty(t, figures.Subscriptions, "no stream yet")
	require.Empty(t, figures.Streams)
	require.Equal(t, collector.Known(0), figures.Queues[0].Depth)

	s.add(1, 1)
	figures = s.inspect(s.watch("g"))
	require.Empty(t, figures.Subscriptions, "no group yet")
	require.Len(t, figures.Streams, 1)
}

func TestAKeyOfAnotherTypeCostsItsOwnFiguresOnly(t *testing.T) {
	t.Parallel()
	good, bad := newSite(t), newSite(t)
	good.group("g", "0")
	good.add(1, 2)
	bad.do("SET", bad.stream, "text")
	bad.do("SET", good.stream+":dlq", "text")

	figures, err := good.broker.Source("shop", "default", []collector.Watch{bad.watch("g"), good.watch("g")}).Collect(t.Context())
	require.ErrorIs(t, err, broker.ErrWrongType)
	require.ErrorContains(t, err, bad.stream)
	require.ErrorContains(t, err, good.stream+":dlq")
	require.Len(t, figures.Subscriptions, 1)
	require.Equal(t, collector.Known(2), figures.Subscriptions[0].Lag)
	require.False(t, figures.Subscriptions[0].DeadLetters.Known)
	require.Equal(t, collector.Known(0), figures.Queues[0].Depth, "that of the bad one")
	require.Len(t, figures.Queues, 1)
	require.Equal(t, collector.Known(1), figures.Brokers[0].Up)
}

func TestManyBadKeysDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var watched []collector.Watch
	for i := range 50 {
		w := s.watch("g")
		w.Stream = fmt.Sprintf("%s:%d", s.stream, i)
		s.do("SET", w.Stream, "text")
		watched = append(watched, w)
	}
	_, err := s.broker.Source("shop", "default", watched).Collect(t.Context())
	require.ErrorContains(t, err, "and 45 more")
}

func TestTheServersOwnFigures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source := s.broker.Source("shop", "orders", nil)
	require.Equal(t, "broker:orders", source.Name())
	figures, err := source.Collect(t.Context())
	require.NoError(t, err)
	require.Len(t, figures.Brokers, 1)
	got := figures.Brokers[0]
	require.Equal(t, "shop", got.Domain)
	require.Equal(t, "orders", got.Name)
	require.Equal(t, collector.Known(1), got.Up)
	require.Positive(t, got.MemoryBytes.V)
	require.Positive(t, got.ConnectedClients.V)
	require.True(t, got.OpsPerSecond.Known)
	require.Equal(t, collector.Known(0), got.PoolActive, "inspecting takes no connection of the pool")
}

func TestReplicasSeeTheSameSharedFigures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.group("g", "0")
	s.add(1, 9)
	s.read(4)
	first := s.inspect(s.watch("g"))
	s.broker = open(t, testserver.Redis(t).URL)
	second := s.inspect(s.watch("g"))
	for _, figures := range []collector.Figures{first, second} {
		for i := range figures.Subscriptions {
			require.True(t, figures.Subscriptions[i].LastSeenSeconds.Known)
			figures.Subscriptions[i].LastSeenSeconds = collector.Value{} // time goes by between the two
		}
	}
	require.Equal(t, first.Subscriptions, second.Subscriptions)
	require.Equal(t, first.Queues, second.Queues)
	require.Equal(t, first.Streams, second.Streams)
}

func TestAServerThatDoesNotAnswerIsDownAndAllElseUnknown(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL)
	watched := []collector.Watch{{Domain: "shop", Group: "g", Stream: "s"}}
	source := b.Source("shop", "default", watched)
	down := []collector.Broker{{Domain: "shop", Name: "default", Up: collector.Known(0), PoolActive: collector.Known(0)}}

	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	figures, err := source.Collect(ctx)
	require.Error(t, err)
	require.Equal(t, collector.Figures{Brokers: down}, figures)

	server.Resume()
	figures, err = source.Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, collector.Known(1), figures.Brokers[0].Up)

	server.Stop()
	figures, err = source.Collect(t.Context())
	require.ErrorContains(t, err, `redis broker "default"`)
	require.Equal(t, collector.Figures{Brokers: down}, figures)

	server.Start()
	_, err = source.Collect(t.Context())
	require.NoError(t, err, "the first inspection after a restart finds it")
}

func TestACallerThatLeftLearnsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	figures, err := s.broker.Source("shop", "default", nil).Collect(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, figures.Brokers[0].Up.Known)
}

func TestAClosedBrokerIsDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, s.broker.Close(t.Context()))
	figures, err := s.broker.Source("shop", "default", []collector.Watch{s.watch("g")}).Collect(t.Context())
	require.ErrorIs(t, err, broker.ErrClosed)
	require.Equal(t, collector.Known(0), figures.Brokers[0].Up)
}

func TestAServerThatRefusesTheUserIsDownWithOneError(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--requirepass", "right")
	b := open(t, "redis://:wrong@"+server.Addr)
	watched := []collector.Watch{{Stream: "s", Group: "g"}, {Stream: "t", Group: "g"}}
	figures, err := b.Source("shop", "default", watched).Collect(t.Context())
	require.ErrorContains(t, err, "WRONGPASS")
	require.NotContains(t, err.Error(), `"s"`)
	require.Equal(t, collector.Figures{Brokers: []collector.Broker{{
		Domain: "shop", Name: "default", Up: collector.Known(0), PoolActive: collector.Known(0),
	}}}, figures)
}

func TestAUserWithoutAllRightsLearnsTheRest(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	admin := server.Client(t)
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-info", "-time", "-xpending").Err())
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "narrower", "on", ">pw", "~*", "+@all", "-xinfo|groups").Err())
	s := &site{t, admin, open(t, "redis://narrow:pw@"+server.Addr), "s"}
	s.group("g", "0")
	s.add(1, 3)
	s.read(1)
	figures, err := s.broker.Source("shop", "default", []collector.Watch{s.watch("g")}).Collect(t.Context())
	for _, name := range []string{"INFO", "TIME", `"s"`} {
		require.ErrorContains(t, err, name)
	}
	require.Equal(t, collector.Known(1), figures.Brokers[0].Up)
	require.Equal(t, collector.Known(2), figures.Subscriptions[0].Lag)
	require.False(t, figures.Subscriptions[0].OldestUnfinishedSeconds.Known)

	s.broker = open(t, "redis://narrower:pw@"+server.Addr)
	figures, err = s.broker.Source("shop", "default", []collector.Watch{s.watch("g")}).Collect(t.Context())
	require.ErrorContains(t, err, "NOPERM")
	require.Empty(t, figures.Subscriptions)
}

func BenchmarkCollect(b *testing.B) {
	server := testserver.Redis(b)
	client, prefix := server.Client(b), testserver.Name(b)
	var watched []collector.Watch
	pipe := client.Pipeline()
	for i := range 1000 {
		w := collector.Watch{Domain: "shop", Handler: "H", Group: "g", Stream: fmt.Sprintf("%s:%d", prefix, i), Type: "stream"}
		watched = append(watched, w)
		pipe.XGroupCreateMkStream(b.Context(), w.Stream, "g", "0")
		pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: w.Stream, Values: []string{"data", "{}"}})
	}
	_, err := pipe.Exec(b.Context())
	require.NoError(b, err)
	r, err := redisbroker.New(redisbroker.Config{URI: at(server.URL)})
	require.NoError(b, err)
	defer func() { require.NoError(b, r.Close(context.Background())) }()
	source := r.Source("shop", "default", watched)
	b.ReportAllocs()
	for b.Loop() {
		figures, err := source.Collect(b.Context())
		require.NoError(b, err)
		require.Len(b, figures.Subscriptions, 1000)
	}
}
