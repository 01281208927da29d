package redisbroker_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestAClusterKeepsWhatABrokerPromises(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 3)
	t.Run("suite", func(t *testing.T) {
		brokertest.Run(t, func(t *testing.T) brokertest.Broker {
			return operated{open(t, cluster.URL), cluster.Client(t)}
		})
	})
}

// go-redis' client of a cluster repeats a command whose reply was lost. Entries of
// a group read would then be pending for a consumer that does not know them.
func TestALostReplyOfAClusterStrandsNothing(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 1)
	node := cluster.Nodes[0]
	proxy := testserver.Proxy(t, node.Addr)
	_, port, _ := strings.Cut(proxy.Addr, ":")
	require.NoError(t, node.Client(t).ConfigSet(t.Context(), "cluster-announce-port", port).Err())
	b, admin := open(t, "redis+cluster://"+proxy.Addr), node.Client(t)

	for name, read := range map[string]consumergroup.Read{
		"at once":      {Max: 2},
		"with an ack":  {Max: 2, Acks: []string{"1-1"}},
		"that waits":   {Max: 2, Block: maxWait},
		"after a wait": {Max: 2, Block: time.Millisecond},
	} {
		stream := testserver.Name(t)
		s := join(t, b, stream, "c")
		ids := publish(t, b, stream, 4)
		dropped := proxy.DropReply("XREADGROUP")
		got, _, err := s.Read(t.Context(), read)
		<-dropped
		require.Error(t, err, name)
		require.Empty(t, got, name)
		require.Equal(t, ids[:2], idsOf(pending(t, s)), "%s: sent once", name)

		lost, err := s.Release(t.Context(), entries(1, ids[:2]...))
		require.NoError(t, err)
		require.Empty(t, lost)
		dropped = proxy.DropReply("EVALSHA")
		_, _, err = s.ClaimReleased(t.Context(), 1)
		<-dropped
		require.Error(t, err, name)
		require.LessOrEqual(t, len(pending(t, s)), 1, "%s: one claim was sent", name)
		require.NoError(t, admin.Del(t.Context(), stream).Err())
	}
	stream := testserver.Name(t)
	dropped := proxy.DropReply("XADD")
	_, err := b.Publish(t.Context(), stream, text("{}"))
	<-dropped
	require.Error(t, err)
	require.EqualValues(t, 1, admin.XLen(t.Context(), stream).Val())
}

func TestAReadFollowsItsSlot(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 2)
	client := cluster.Client(t)
	b, stream := open(t, cluster.URL), testserver.Name(t)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 6)
	require.Equal(t, ids[:1], idsOf(read(t, s, 1)))

	slot := client.ClusterKeySlot(t.Context(), stream).Val()
	owner, err := client.MasterForKey(t.Context(), stream)
	require.NoError(t, err)
	from, to := cluster.Nodes[0], cluster.Nodes[1]
	if owner.Options().Addr == to.Addr {
		from, to = to, from
	}
	source, target := from.Client(t), to.Client(t)
	sourceID, targetID := source.Do(t.Context(), "CLUSTER", "MYID").Val(), target.Do(t.Context(), "CLUSTER", "MYID").Val()
	require.NoError(t, target.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID).Err())
	require.NoError(t, source.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID).Err())
	host, port, _ := strings.Cut(to.Addr, ":")
	require.NoError(t, source.Migrate(t.Context(), host, port, stream, 0, 5*time.Second).Err())

	// The old node answers ASK.
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Acks: ids[:1]})
	require.NoError(t, err)
	require.True(t, acked)
	require.Equal(t, ids[1:2], idsOf(got))
	require.Equal(t, ids[1:2], idsOf(pending(t, s)))
	require.Equal(t, `{"n": 1}`, string(got[0].Fields[0].Value))

	for _, node := range []*testserver.RedisProcess{to, from} {
		require.NoError(t, node.Client(t).Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", targetID).Err())
	}
	// Now it answers MOVED.
	require.Equal(t, ids[2:3], idsOf(read(t, s, 1)))
	got, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait})
	require.NoError(t, err)
	require.Equal(t, ids[3:4], idsOf(got))
	require.Equal(t, ids[1:4], idsOf(pending(t, s)))
}

// The keys of a stream and its queue are in two slots, unless the stream's name
// has a hash tag.
func TestADeadLetterIsWrittenWhateverItsSlot(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 3)
	client := cluster.Client(t)
	for _, stream := range []string{"orders", "orders:2", "orders:3", "{orders}:4"} {
		b := open(t, cluster.URL)
		s := join(t, b, stream, "c")
		ids := publish(t, b, stream, 3)
		read(t, s, 3)
		require.NoError(t, client.Do(t.Context(), "XCLAIM", stream, "g", "thief", 0, ids[1], "JUSTID").Err())
		var dead []deadletter.Entry
		for _, id := range ids {
			dead = append(dead, deadletter.Entry{ID: id, Data: []byte(`{"id": "` + id + `"}`), Raw: []byte{0xff}})
		}
		for range 2 { // the second finds the slots known
			lost, err := s.DeadLetter(t.Context(), dead[:2])
			require.NoError(t, err)
			require.Contains(t, lost, ids[1], stream)
			require.Equal(t, ids[2:], idsOf(pending(t, s)))
		}
		require.EqualValues(t, 1, client.XLen(t.Context(), deadletter.QueueOf(stream)).Val())

		require.NoError(t, client.Del(t.Context(), deadletter.QueueOf(stream)).Err())
		require.NoError(t, client.Set(t.Context(), deadletter.QueueOf(stream), "text", 0).Err())
		_, err := s.DeadLetter(t.Context(), dead[2:])
		require.ErrorContains(t, err, "holds a string", stream)
		require.Equal(t, ids[2:], idsOf(pending(t, s)), "not acknowledged")
	}
}

func TestADeadLetterThatMayBeWrittenIsLookedForWhateverItsSlot(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 3)
	client := cluster.Client(t)
	for _, stream := range []string{"orders", "orders:2", "{orders}:4"} {
		b := open(t, cluster.URL)
		s := join(t, b, stream, "c")
		ids := publish(t, b, stream, 4)
		read(t, s, 4)
		tried := time.Now()
		var dead []deadletter.Entry
		for _, id := range ids {
			dead = append(dead, deadletter.Entry{ID: id, Data: []byte(`{"id": "` + id + `"}`)})
		}
		lost, err := s.DeadLetter(t.Context(), dead[:1])
		require.NoError(t, err)
		require.Empty(t, lost)
		require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "c").Err())
		require.NoError(t, client.Do(t.Context(), "XCLAIM", stream, "g", "other", 0, ids[3], "FORCE", "JUSTID").Err())
		for i := range dead {
			dead[i].TriedAt = tried
		}
		for range 2 { // the second finds all of them written
			lost, err = s.DeadLetter(t.Context(), dead)
			require.NoError(t, err)
			require.Equal(t, ids[3:], lost, stream)
			require.EqualValues(t, 3, client.XLen(t.Context(), deadletter.QueueOf(stream)).Val(), stream)
		}
	}
}

func TestTheFiguresOfACluster(t *testing.T) {
	t.Parallel()
	cluster := testserver.StartRedisCluster(t, 3)
	b := open(t, cluster.URL)
	var watched []collector.Watch
	for _, stream := range []string{"a", "b", "c", "d"} {
		s := join(t, b, stream, "c")
		publish(t, b, stream, 3)
		read(t, s, 1)
		watched = append(watched, collector.Watch{Domain: "shop", Group: "g", Stream: stream})
	}
	figures, err := b.Source("shop", "default", watched).Collect(t.Context())
	require.NoError(t, err)
	require.Equal(t, collector.Known(1), figures.Brokers[0].Up)
	require.False(t, figures.Brokers[0].MemoryBytes.Known, "one node's is not the cluster's")
	require.Len(t, figures.Subscriptions, 4)
	for _, sub := range figures.Subscriptions {
		require.Equal(t, collector.Known(2), sub.Lag)
		require.Equal(t, collector.Known(1), sub.LagExact)
		require.Equal(t, collector.Known(1), sub.Pending)
	}

	node := cluster.Nodes[1]
	require.NoError(t, node.Client(t).ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	require.ErrorContains(t, b.Ping(t.Context()), "NOREPLICAS", "of any node that has a stream")
}

func TestSentinelNamesTheMasterBeforeAndAfterAFailover(t *testing.T) {
	t.Parallel()
	s := testserver.StartRedisSentinel(t)
	b := open(t, s.URL)
	roundTrip(t, b)
	stream := testserver.Name(t)
	m := join(t, b, stream, "c")
	first := publish(t, b, stream, 1)
	require.NoError(t, s.Master.Client(t).Wait(t.Context(), 1, 10*time.Second).Err())

	s.Failover(t)
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		got, _, err := m.Read(t.Context(), consumergroup.Read{Max: 1, Block: 10 * time.Millisecond})
		if err != nil {
			return false
		}
		require.Equal(t, first, idsOf(got))
		return true
	}, time.Minute, 10*time.Millisecond)
	roundTrip(t, b)
	require.Contains(t, s.Master.Client(t).Info(t.Context(), "replication").Val(), "role:master")
}

func TestSentinelThatKnowsNoSuchMasterIsNamed(t *testing.T) {
	t.Parallel()
	s := testserver.StartRedisSentinel(t)
	err := open(t, "redis+sentinel://127.0.0.1:1,"+s.Sentinel.Addr+"/other").Ping(t.Context())
	require.ErrorContains(t, err, `sentinel 127.0.0.1:1: `)
	require.ErrorContains(t, err, `connection refused`)
	require.ErrorContains(t, err, `sentinel `+s.Sentinel.Addr+`: knows no master "other"`)

	roundTrip(t, open(t, "redis+sentinel://127.0.0.1:1,"+s.Sentinel.Addr+"/main/3"))
	require.Contains(t, s.Master.Client(t).Info(t.Context(), "keyspace").Val(), "db3")

	require.NoError(t, s.Sentinel.Client(t).Do(t.Context(), "ACL", "SETUSER", "default", "resetpass", ">s3cret").Err())
	uri := "redis+sentinel://" + s.Sentinel.Addr + "/main?sentinel_password="
	require.NoError(t, open(t, uri+"s3cret").Ping(t.Context()))
	err = open(t, uri+"hunter2").Ping(t.Context())
	require.ErrorContains(t, err, "WRONGPASS")
	require.NotContains(t, err.Error(), "hunter2")
}

// replicate adds a replica of the master that has the stream.
func replicate(t *testing.T, cluster *testserver.RedisCluster, stream string) (master, other, replica *testserver.RedisProcess) {
	t.Helper()
	owner, err := cluster.Client(t).MasterForKey(t.Context(), stream)
	require.NoError(t, err)
	master, other = cluster.Nodes[0], cluster.Nodes[1]
	if owner.Options().Addr != master.Addr {
		master, other = other, master
	}
	return master, other, cluster.StartReplica(t, master)
}

func TestAReadFollowsAFailoverOfItsClusterWithinSeconds(t *testing.T) {
	t.Parallel()
	cluster, stream := testserver.StartRedisCluster(t, 2), testserver.Name(t)
	master, _, replica := replicate(t, cluster, stream)
	b := open(t, cluster.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 4)
	require.Equal(t, ids[:1], idsOf(read(t, s, 1)))
	source := b.Source("shop", "default", []collector.Watch{{Domain: "shop", Group: "g", Stream: stream}})
	inspect := func() (up collector.Value, ready error) {
		figures, _ := source.Collect(t.Context())
		return figures.Brokers[0].Up, b.Ping(t.Context())
	}
	require.NoError(t, b.Ping(t.Context()))
	require.NoError(t, master.Client(t).Wait(t.Context(), 1, 10*time.Second).Err())

	master.Stop()
	for range 10 { // INFO is answered by any node
		up, ready := inspect()
		require.Error(t, ready)
		require.Equal(t, collector.Known(0), up)
	}
	replica.TakeOver(t)
	for i, r := range []consumergroup.Read{
		{Max: 1}, {Max: 1, Acks: ids[:1]}, {Max: 1, Block: maxWait}, // alone, in a pipeline, by the client that waits
	} {
		require.Eventually(t, func() bool {
			got, _, err := s.Read(t.Context(), r)
			if err != nil {
				return false
			}
			require.Equal(t, ids[i+1:i+2], idsOf(got))
			return true
		}, 15*time.Second, 100*time.Millisecond)
	}
	require.Eventually(t, func() bool {
		up, ready := inspect()
		return ready == nil && up == collector.Known(1)
	}, 15*time.Second, 100*time.Millisecond)
}

// A replica becomes the master while the next try of a read is still to come.
func TestAClusterIsAskedForItsMastersUntilTheNextTry(t *testing.T) {
	t.Parallel()
	cluster, stream := testserver.StartRedisCluster(t, 2), testserver.Name(t)
	master, other, replica := replicate(t, cluster, stream)
	b := open(t, cluster.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 1)
	require.NoError(t, master.Client(t).Wait(t.Context(), 1, 10*time.Second).Err())

	master.Stop()
	_, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1})
	require.Error(t, err)
	replica.TakeOver(t)
	var asked int64
	for _, node := range []*testserver.RedisProcess{other, replica} {
		client := node.Client(t)
		require.Eventually(t, func() bool {
			shards, err := client.ClusterShards(t.Context()).Result()
			return err == nil && slices.ContainsFunc(shards, func(s redis.ClusterShard) bool {
				return slices.ContainsFunc(s.Nodes, func(n redis.Node) bool {
					return n.Role == "master" && strings.HasSuffix(replica.Addr, ":"+strconv.FormatInt(n.Port, 10))
				})
			})
		}, time.Minute, time.Millisecond)
		asked += timesAsked(t, client)
	}
	clients := []*redis.Client{other.Client(t), replica.Client(t)}
	require.Eventually(t, func() bool {
		return timesAsked(t, clients[0])+timesAsked(t, clients[1]) >= asked+2 // the first may have begun before
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, ids, idsOf(read(t, s, 1)))
}

// timesAsked is how often a node was asked for the masters of the slots.
func timesAsked(t *testing.T, client *redis.Client) (n int64) {
	t.Helper()
	stats, err := client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	_, rest, _ := strings.Cut(stats, "cmdstat_cluster|slots:calls=")
	text, _, _ := strings.Cut(rest, ",")
	if text != "" {
		n, err = strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
	}
	return n
}
