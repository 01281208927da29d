package redisbroker_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// refusing is a broker whose server may refuse that entries are consumed.
type refusing struct {
	*testing.T
	broker *redisbroker.Broker
	log    *bytes.Buffer
}

func newRefusing(t *testing.T, uri string) *refusing {
	r := &refusing{T: t, log: &bytes.Buffer{}}
	r.broker = open(t, uri, func(c *redisbroker.Config) { c.Logger = slog.New(slog.NewTextHandler(r.log, nil)) })
	return r
}

// require asks three times as readiness and the collector do; code is that of the
// refusal, "" where entries can be consumed.
func (r *refusing) require(code string, watched ...collector.Watch) {
	r.Helper()
	for range 3 {
		err := r.broker.Ping(r.Context())
		figures, _ := r.broker.Source("shop", "default", watched).Collect(r.Context())
		up := figures.Brokers[0].Up
		if code == "" {
			require.NoError(r, err)
			require.Equal(r, collector.Known(1), up)
		} else {
			require.ErrorContains(r, err, code)
			require.Equal(r, collector.Known(0), up)
		}
	}
}

func (r *refusing) requireLogged(code string, refused, again int) {
	r.Helper()
	require.Equal(r, refused, strings.Count(r.log.String(), "the server refuses that entries are consumed"), r.log)
	require.Equal(r, again, strings.Count(r.log.String(), "entries can be consumed again"), r.log)
	if refused > 0 {
		require.Contains(r, r.log.String(), code)
	}
}

func TestAServerThatRefusesToBeConsumedFromIsNotUp(t *testing.T) {
	t.Parallel()
	_, port, _ := strings.Cut(testserver.Redis(t).Addr, ":")
	nothing := strconv.Itoa(testserver.FreePort(t))
	for code, c := range map[string]struct{ refuse, serve []string }{
		"READONLY": {
			[]string{"REPLICAOF 127.0.0.1 " + port},
			[]string{"REPLICAOF NO ONE"},
		},
		"NOREPLICAS": {
			[]string{"CONFIG SET min-replicas-to-write 1"},
			[]string{"CONFIG SET min-replicas-to-write 0"},
		},
		"MASTERDOWN": {
			[]string{"CONFIG SET replica-read-only no", "CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 " + nothing},
			[]string{"REPLICAOF NO ONE"},
		},
	} {
		for _, joined := range []bool{false, true} {
			t.Run(code+", a member joined: "+strconv.FormatBool(joined), func(t *testing.T) {
				t.Parallel()
				server := testserver.StartRedis(t)
				admin, r := server.Client(t), newRefusing(t, server.URL)
				do := func(commands []string) {
					for _, command := range commands {
						var args []any
						for arg := range strings.FieldsSeq(command) {
							args = append(args, arg)
						}
						require.NoError(t, admin.Do(t.Context(), args...).Err())
					}
				}
				if joined {
					join(t, r.broker, testserver.Name(t), "c")
				}
				r.require("")
				r.requireLogged("", 0, 0)
				do(c.refuse)
				r.require(code)
				r.requireLogged(code, 1, 0)
				do(c.serve)
				r.require("")
				r.requireLogged(code, 1, 1)
			})
		}
	}
}

func TestAServerThatLoadsItsDataIsNotUpUntilItHas(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--enable-debug-command", "yes", "--key-load-delay", "2000",
		"--loading-process-events-interval-bytes", "1024")
	admin, watcher, r := server.Client(t), server.Client(t), newRefusing(t, server.URL)
	r.require("")
	require.NoError(t, admin.Do(t.Context(), "DEBUG", "POPULATE", 2000, "key", 10).Err())
	loaded := make(chan error, 1)
	go func() { loaded <- admin.Do(t.Context(), "DEBUG", "RELOAD").Err() }()
	require.Eventually(t, func() bool {
		return strings.Contains(watcher.Info(t.Context(), "persistence").Val(), "loading:1")
	}, time.Minute, time.Millisecond)
	r.require("LOADING")
	require.NoError(t, <-loaded)
	r.require("")
	r.requireLogged("LOADING", 1, 1)
}

func TestAMissingRightToReadIsARefusalUntilItIsGiven(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "worker", "on", ">pw", "~*", "+@all", "-xreadgroup")
	admin, stream := server.Client(t), testserver.Name(t)
	r := newRefusing(t, "redis://worker:pw@"+server.Addr)
	s := join(t, r.broker, stream, "c")
	r.require("") // not known before a read
	watch := collector.Watch{Domain: "shop", Group: "g", Stream: stream}

	_, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1})
	require.ErrorContains(t, err, "NOPERM")
	r.require("NOPERM", watch)
	r.requireLogged("NOPERM", 1, 0)
	require.Contains(t, r.log.String(), "xreadgroup")

	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", "worker", "+xreadgroup").Err())
	r.require("", watch) // before the next read
	r.requireLogged("NOPERM", 1, 1)
	require.Empty(t, read(t, s, 1))
	r.require("", watch)
	r.requireLogged("NOPERM", 1, 1)
}

func TestAMissingRightToJoinIsARefusalUntilTheMemberJoins(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "worker", "on", ">pw", "~*", "+@all", "-xgroup")
	admin, stream := server.Client(t), testserver.Name(t)
	r := newRefusing(t, "redis://worker:pw@"+server.Addr)
	_, err := r.broker.Join(t.Context(), member(stream, "c"))
	require.ErrorContains(t, err, "NOPERM")
	r.require("NOPERM")

	require.NoError(t, admin.XGroupCreateMkStream(t.Context(), stream, "g", "0").Err())
	join(t, r.broker, stream, "c")
	r.require("")
	r.requireLogged("NOPERM", 1, 1)
}

func TestTheInspectorLeavesAReplicaForTheNewMaster(t *testing.T) {
	t.Parallel()
	old, master := testserver.StartRedis(t), testserver.StartRedis(t)
	for _, joined := range []bool{false, true} {
		uri := old.URL
		b := open(t, "", func(c *redisbroker.Config) { c.URI = func() (string, error) { return uri, nil } })
		require.NoError(t, old.Client(t).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
		if joined {
			join(t, b, testserver.Name(t), "c")
		}
		require.NoError(t, b.Ping(t.Context()))
		_, port, _ := strings.Cut(master.Addr, ":")
		require.NoError(t, old.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", port).Err())
		uri = master.URL
		require.ErrorContains(t, b.Ping(t.Context()), "READONLY")
		require.NoError(t, b.Ping(t.Context()), "the next connection is to the master")
		figures, err := b.Source("shop", "default", nil).Collect(t.Context())
		require.NoError(t, err)
		require.Equal(t, collector.Known(1), figures.Brokers[0].Up)
	}
}

func TestAUserWhoMayOnlyObserveFindsTheServerUp(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--user", "observer", "on", ">pw", "~*", "-@all", "+ping", "+info", "+time", "+xinfo", "+xlen", "+xrange", "+xpending")
	newRefusing(t, "redis://observer:pw@"+server.Addr).require("")
}

func TestTheProbeChangesNothing(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	admin, stream := server.Client(t), testserver.Name(t)
	r := newRefusing(t, server.URL)
	r.require("")
	require.Zero(t, admin.DBSize(t.Context()).Val(), "a broker that no member joined")

	s := join(t, r.broker, stream, "c")
	ids := publish(t, r.broker, stream, 3)
	read(t, s, 2)
	before := admin.Info(t.Context(), "persistence").Val()
	r.require("")
	require.Contains(t, before, "rdb_changes_since_last_save:")
	require.Equal(t, changes(before), changes(admin.Info(t.Context(), "persistence").Val()))
	require.Equal(t, ids[:2], idsOf(pending(t, s)))
}

// changes is the line of INFO that counts what was written.
func changes(info string) string {
	_, rest, _ := strings.Cut(info, "rdb_changes_since_last_save:")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}
