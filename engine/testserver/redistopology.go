package testserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisCluster is a Redis Cluster of one test: masters, without replicas unless
// [RedisCluster.StartReplica] adds one.
type RedisCluster struct {
	// Nodes are its masters, each with a part of the slots.
	Nodes []*RedisProcess
	// URL is its address as redis+cluster://host:port,host:port.
	URL string
}

// StartRedisCluster starts a cluster of n masters for this test alone and returns
// when all of them serve. It needs Redis 7.
func StartRedisCluster(t testing.TB, n int) *RedisCluster {
	t.Helper()
	const slots = 16384
	c := &RedisCluster{}
	buses := make([]string, n)
	for i := range n {
		buses[i] = strconv.Itoa(FreePort(t))
		c.Nodes = append(c.Nodes, startNode(t, buses[i]))
	}
	var addrs []string
	for i, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
		node.do(t, "CLUSTER", "ADDSLOTSRANGE", slots*i/n, slots*(i+1)/n-1)
		c.Nodes[0].do(t, "CLUSTER", "MEET", "127.0.0.1", node.port, buses[i])
	}
	for _, node := range c.Nodes {
		node.awaitInfo(t, "CLUSTER INFO", "cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d", n))
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	return c
}

// startNode starts a server that is to become a node of a cluster.
func startNode(t testing.TB, bus string) *RedisProcess {
	t.Helper()
	return StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-ip", "127.0.0.1",
		"--repl-diskless-sync-delay", "0")
}

// StartReplica adds a replica of one of the masters and returns when it has the
// master's data and all nodes know it. It becomes the master by TakeOver.
func (c *RedisCluster) StartReplica(t testing.TB, master *RedisProcess) *RedisProcess {
	t.Helper()
	bus := strconv.Itoa(FreePort(t))
	replica := startNode(t, bus)
	id, err := master.Client(t).Do(context.Background(), "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatalf("testserver: redis %s: CLUSTER MYID: %v", master.Addr, err)
	}
	c.Nodes[0].do(t, "CLUSTER", "MEET", "127.0.0.1", replica.port, bus)
	replica.awaitInfo(t, "CLUSTER NODES", id)
	replica.awaitInfo(t, "CLUSTER INFO", "cluster_state:ok")
	replica.do(t, "CLUSTER", "REPLICATE", id)
	replica.awaitInfo(t, "INFO replication", "master_link_status:up")
	for _, node := range c.Nodes {
		node.awaitInfo(t, "CLUSTER NODES", "slave "+id)
	}
	return replica
}

// TakeOver makes a replica of a cluster the master of its slots, also while its
// master is stopped. The other nodes learn of it soon after.
func (s *RedisProcess) TakeOver(t testing.TB) {
	t.Helper()
	s.do(t, "CLUSTER", "FAILOVER", "TAKEOVER")
	s.awaitInfo(t, "INFO replication", "role:master")
}

// Client returns a client of the cluster, closed at the end of the test.
func (c *RedisCluster) Client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// RedisSentinel is a master with a replica, and a Sentinel that watches both, of
// one test.
type RedisSentinel struct {
	Master, Replica *RedisProcess
	// Sentinel is the Sentinel itself.
	Sentinel *RedisProcess
	// URL is the address of the master as redis+sentinel://host:port/name.
	URL string
}

// StartRedisSentinel starts a master, its replica and a Sentinel for this test
// alone, and returns when a failover is possible. It needs Redis 7.
func StartRedisSentinel(t testing.TB) *RedisSentinel {
	t.Helper()
	const name = "main"
	s := &RedisSentinel{Master: StartRedis(t, "--repl-diskless-sync-delay", "0"), Replica: StartRedis(t, "--repl-diskless-sync-delay", "0")}
	s.Replica.do(t, "REPLICAOF", "127.0.0.1", s.Master.port)
	s.Replica.awaitInfo(t, "INFO replication", "master_link_status:up")
	s.Sentinel = &RedisProcess{t: t, dir: t.TempDir(), sentinel: true}
	t.Cleanup(s.Sentinel.Stop)
	s.Sentinel.Start()
	// By default it asks every ten seconds, and waits as long before it demotes.
	s.Sentinel.do(t, "SENTINEL", "DEBUG", "info-period", 200, "publish-period", 200, "ping-period", 200)
	s.Sentinel.do(t, "SENTINEL", "MONITOR", name, "127.0.0.1", s.Master.port, 1)
	s.Sentinel.do(t, "SENTINEL", "SET", name, "down-after-milliseconds", 1000)
	s.Sentinel.awaitInfo(t, "INFO sentinel", "status=ok", "slaves=1")
	s.URL = "redis+sentinel://" + s.Sentinel.Addr + "/" + name
	return s
}

// Failover makes the replica the master and returns when Sentinel says so and the
// old master has become its replica.
func (s *RedisSentinel) Failover(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(startLimit)
	for { // refused until Sentinel has heard of the replica's state
		err := s.Sentinel.Client(t).Do(context.Background(), "SENTINEL", "FAILOVER", "main").Err()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("testserver: redis: no failover after %s: %v", startLimit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.Sentinel.awaitInfo(t, "INFO sentinel", "address="+s.Replica.Addr)
	s.Master.awaitInfo(t, "INFO replication", "role:slave")
	s.Master, s.Replica = s.Replica, s.Master
}

// do runs one command on the server.
func (s *RedisProcess) do(t testing.TB, args ...any) {
	t.Helper()
	if err := s.Client(t).Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("testserver: redis %s: %v: %v", s.Addr, args, err)
	}
}

// awaitInfo asks until the answer holds all texts.
func (s *RedisProcess) awaitInfo(t testing.TB, command string, texts ...string) {
	t.Helper()
	var args []any
	for arg := range strings.FieldsSeq(command) {
		args = append(args, arg)
	}
	client := s.Client(t)
	err := s.proc.await(func() error {
		answer, err := client.Do(context.Background(), args...).Text()
		if err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(answer, text) {
				return fmt.Errorf("%s does not say %q", command, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("testserver: redis %s: %v", s.Addr, err)
	}
}
