package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// asReplica has the test binary run as one process of a group; its value is what it
// does, as JSON.
const asReplica = "ENGINE_TEST_REPLICA"

// replicaConfig is what one process of a group does.
type replicaConfig struct {
	URL, Stream string
	PerTick     int
	Concurrency int
	Call        time.Duration // how long a call takes
}

const replicaGroup = "shop.Replicas"

// claimIdle is short, so that what a killed process left is taken over soon.
const claimIdle = 900 * time.Millisecond

// runReplica is the program: it notes in a list beside the stream which messages it
// begins and which it has handled, and ends without a trace at the one called poison.
func runReplica() {
	var c replicaConfig
	if err := json.Unmarshal([]byte(os.Getenv(asReplica)), &c); err != nil {
		panic(err)
	}
	go func() { // it does not outlive the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(4)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	options, err := redis.ParseURL(c.URL)
	if err != nil {
		panic(err)
	}
	notes := redis.NewClient(options)
	b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return c.URL, nil }, Logger: logger})
	if err != nil {
		panic(err)
	}
	e, err := engine.New(engine.Config{Domain: "shop", Logger: logger, Health: engine.HealthConfig{Disabled: true}, Subscriptions: []engine.Subscription{{
		Config: subscription.Config{
			Domain: "shop", Handler: replicaGroup, Stream: c.Stream, DeadLetters: true, MessagesPerTick: c.PerTick,
			Concurrency: c.Concurrency, ClaimIdle: claimIdle, Retry: retry.Policy{MaxAttempts: 3, Delay: time.Millisecond},
		},
		Source: consumergroup.Over(b),
		Func: func(ctx context.Context, m *message.Envelope) error {
			id := m.Metadata.Headers.ID
			if err := notes.RPush(ctx, c.Stream+":begun", id).Err(); err != nil {
				return err
			}
			if strings.HasPrefix(id, "poison") {
				os.Exit(3)
			}
			time.Sleep(c.Call)
			return notes.RPush(ctx, c.Stream+":handled", id).Err()
		},
	}}})
	if err != nil {
		panic(err)
	}
	if err := e.Run(ctx); err != nil {
		panic(err)
	}
}

// replicas are processes of one group over a real Redis.
type replicas struct {
	t      *testing.T
	config replicaConfig
	client *redis.Client
	log    testlog.Output
}

// replica is one of them.
type replica struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended, with err
	err   error
}

func (p *replica) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func newReplicas(t *testing.T, c replicaConfig) *replicas {
	t.Helper()
	server := testserver.Redis(t)
	c.URL, c.Stream = server.URL, testserver.Name(t)
	return &replicas{t: t, config: c, client: server.Client(t)}
}

func (r *replicas) start() *replica {
	r.t.Helper()
	config, err := json.Marshal(r.config)
	require.NoError(r.t, err)
	p := &replica{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asReplica+"="+string(config),
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // os.Exit ends it at once
	p.cmd.Stderr = &r.log
	_, err = p.cmd.StdinPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	r.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

func (p *replica) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// publish adds events of these ids, each of an aggregate of its own.
func (r *replicas) publish(ids ...string) {
	r.t.Helper()
	pipe := r.client.Pipeline()
	for _, id := range ids {
		e, err := message.New(message.KindEvent, message.Headers{
			ID: id, Type: "Shop.OrderPlaced.v1", Stream: r.config.Stream + "-" + id, Time: time.Now(),
		}, json.RawMessage(`{"n": 1}`))
		require.NoError(r.t, err)
		data, err := e.Encode()
		require.NoError(r.t, err)
		pipe.XAdd(r.t.Context(), &redis.XAddArgs{Stream: r.config.Stream, Values: []any{"data", string(data)}})
	}
	_, err := pipe.Exec(r.t.Context())
	require.NoError(r.t, err)
}

// noted counts what the replicas noted: "begun" or "handled".
func (r *replicas) noted(what string) map[string]int {
	r.t.Helper()
	list, err := r.client.LRange(r.t.Context(), r.config.Stream+":"+what, 0, -1).Result()
	require.NoError(r.t, err)
	counts := make(map[string]int)
	for _, id := range list {
		counts[id]++
	}
	return counts
}

func (r *replicas) group() (g redis.XInfoGroup) {
	groups, err := r.client.XInfoGroups(r.t.Context(), r.config.Stream).Result()
	if err == nil && len(groups) == 1 {
		g = groups[0]
	}
	return g
}

// untilSettled waits until the group has got all and owes nothing.
func (r *replicas) untilSettled() {
	r.t.Helper()
	r.until("all is settled", func() bool {
		info, err := r.client.XInfoStream(r.t.Context(), r.config.Stream).Result()
		g := r.group()
		return err == nil && g.Pending == 0 && g.LastDeliveredID == info.LastGeneratedID
	})
}

func (r *replicas) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(deadline)
	for !ok() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			r.t.Fatalf("never: %s\n%+v\n%s", what, r.group(), r.log.String())
		}
	}
}

// stop stops replicas as a supervisor does.
func (r *replicas) stop(all ...*replica) {
	r.t.Helper()
	for _, p := range all {
		p.signal(r.t, syscall.SIGTERM)
	}
	for _, p := range all {
		<-p.ended
		require.NoError(r.t, p.err, "%s", &r.log)
	}
}

func TestOfReplicasThatAreKilledUnderLoadNothingIsLost(t *testing.T) {
	t.Parallel()
	const messages, kills = 2000, 5
	for _, concurrency := range []int{1, 4} {
		t.Run(strconv.Itoa(concurrency), func(t *testing.T) {
			t.Parallel()
			r := newReplicas(t, replicaConfig{PerTick: 10, Concurrency: concurrency, Call: time.Millisecond})
			running := []*replica{r.start(), r.start(), r.start()}
			want := make(map[string]int)
			for i := range kills {
				var ids []string
				for n := range messages / kills {
					id := fmt.Sprintf("%d/%d", i, n)
					want[id] = 1
					ids = append(ids, id)
				}
				r.publish(ids...)
				r.until("it handles", func() bool { return r.client.LLen(t.Context(), r.config.Stream+":handled").Val() >= int64(i*100+50) })
				killed := running[i%len(running)]
				require.NoError(t, killed.cmd.Process.Kill())
				<-killed.ended
				running[i%len(running)] = r.start()
			}
			r.untilSettled()
			handled := r.noted("handled")
			repeated := 0
			for id, n := range handled {
				repeated += n - 1
				handled[id] = 1
			}
			require.Equal(t, want, handled, "lost")
			require.LessOrEqual(t, repeated, kills*12*10, "no more than was in flight")
			require.Zero(t, r.client.XLen(t.Context(), r.config.Stream+":dlq").Val(), "no message is blamed for a process that was killed")
			t.Logf("%d of %d repeated after %d kills", repeated, messages, kills)

			r.stop(running...)
			consumers, err := r.client.XInfoConsumers(t.Context(), r.config.Stream, replicaGroup).Result()
			require.NoError(t, err)
			for _, c := range consumers {
				require.Greater(t, c.Idle, claimIdle, "what is left of the killed; those that stopped deleted their own: %+v", consumers)
			}
		})
	}
}

func TestAMessageThatEndsEachProcessIsDeadLetteredAndNoneOfItsBatchIs(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 4} {
		t.Run(strconv.Itoa(concurrency), func(t *testing.T) {
			t.Parallel()
			r := newReplicas(t, replicaConfig{PerTick: 100, Concurrency: concurrency, Call: time.Millisecond})
			want := make(map[string]int)
			var ids []string
			for n := range 100 {
				id := fmt.Sprint(n)
				if n == 37 {
					id = "poison"
				} else {
					want[id] = 1
				}
				ids = append(ids, id)
			}
			r.publish(ids...)

			running := []*replica{r.start(), r.start(), r.start()}
			deaths := 0
			r.until("all is settled", func() bool {
				for i, p := range running {
					if p.hasEnded() {
						require.ErrorContains(t, p.err, "exit status 3", "%s", &r.log)
						deaths++
						running[i] = r.start()
					}
				}
				g := r.group()
				return g.Pending == 0 && g.EntriesRead == 100
			})
			require.Equal(t, 4, deaths, "max_retries + 1")
			dead, err := r.client.XRange(t.Context(), r.config.Stream+":dlq", "-", "+").Result()
			require.NoError(t, err)
			require.Len(t, dead, 1, "%s", &r.log)
			require.Contains(t, dead[0].Values["data"], `"id": "poison"`)
			require.Contains(t, dead[0].Values["data"], "attempted 4 times by processes that did not finish it")
			require.Equal(t, 4, r.noted("begun")["poison"])
			handled := r.noted("handled")
			for id := range handled {
				handled[id] = 1
			}
			require.Equal(t, want, handled)
			r.stop(running...)
		})
	}
}

func TestAReplicaThatWasSuspendedLosesNothingAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, replicaConfig{PerTick: 10, Concurrency: 2, Call: 5 * time.Millisecond})
	suspended := r.start()
	r.until("it runs", func() bool { return r.group().Name != "" })
	var ids []string
	want := make(map[string]int)
	for n := range 500 {
		ids = append(ids, fmt.Sprint(n))
		want[ids[n]] = 1
	}
	r.publish(ids...)
	r.until("it handles", func() bool { return len(r.noted("handled")) > 50 })
	suspended.signal(t, syscall.SIGSTOP)
	other := r.start()
	r.untilSettled()
	handled := r.noted("handled")
	require.Len(t, handled, 500, "while it was suspended")

	suspended.signal(t, syscall.SIGCONT)
	r.until("it shows life", func() bool {
		consumers, err := r.client.XInfoConsumers(t.Context(), r.config.Stream, replicaGroup).Result()
		require.NoError(t, err)
		alive := 0
		for _, c := range consumers {
			if c.Idle < claimIdle {
				alive++
			}
		}
		return alive == 2
	})
	r.stop(other)
	for n := range 100 {
		id := fmt.Sprintf("later/%d", n)
		want[id] = 1
		r.publish(id)
	}
	r.untilSettled()
	handled = r.noted("handled")
	repeated := 0
	for id, n := range handled {
		repeated += n - 1
		handled[id] = 1
	}
	require.Equal(t, want, handled)
	require.LessOrEqual(t, repeated, 12*10, "no more than it had in flight")
	require.Zero(t, r.client.XLen(t.Context(), r.config.Stream+":dlq").Val())
	r.stop(suspended)
}
