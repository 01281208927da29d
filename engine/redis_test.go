package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/health"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// deadline bounds what a test waits for; it is never waited out.
const deadline = 30 * time.Second

// rig is an engine over a real Redis, and what its handlers got.
type rig struct {
	t       *testing.T
	client  *redis.Client
	broker  *redisbroker.Broker
	reader  *sdkmetric.ManualReader
	logs    testlog.Output
	stop    context.CancelFunc
	ended   chan error
	mu      sync.Mutex
	handled []message.Envelope
	changed chan struct{}
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	r := &rig{
		t: t, client: redis.NewClient(options),
		reader: sdkmetric.NewManualReader(), changed: make(chan struct{}, 1),
	}
	t.Cleanup(func() { _ = r.client.Close() })
	r.broker, err = redisbroker.New(redisbroker.Config{
		URI: func() (string, error) { return url, nil }, SocketTimeout: time.Second, Logger: r.logger(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.broker.Close(context.Background())) })
	return r
}

func (r *rig) logger() *slog.Logger { return r.logs.Logger() }

// subscribe is a subscription whose calls are kept.
func (r *rig) subscribe(stream, group string, fn handler.Func) engine.Subscription {
	return engine.Subscription{
		Config: subscription.Config{
			Domain: "shop", Handler: group, Stream: stream, DeadLetters: true, MessagesPerTick: 10,
			Retry: retry.Policy{MaxAttempts: 3, Delay: time.Millisecond},
		},
		Source: consumergroup.Over(r.broker),
		Func: func(ctx context.Context, m *message.Envelope) error {
			err := fn(ctx, m)
			r.mu.Lock()
			r.handled = append(r.handled, *m)
			r.mu.Unlock()
			select {
			case r.changed <- struct{}{}:
			default:
			}
			return err
		},
	}
}

// run starts an engine and stops it at the end of the test.
func (r *rig) run(h engine.HealthConfig, subs ...engine.Subscription) *engine.Engine {
	r.t.Helper()
	e, err := engine.New(engine.Config{
		Domain: "shop", Subscriptions: subs, Health: h, Logger: r.logger(),
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)),
	})
	require.NoError(r.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r.stop, r.ended = stop, ended
	go func() { ended <- e.Run(ctx) }()
	r.t.Cleanup(func() { _ = r.halt() })
	return e
}

func (r *rig) halt() error {
	if r.ended == nil {
		return nil
	}
	r.stop()
	err := <-r.ended
	r.ended = nil
	return err
}

// until waits until ok, asking again whenever a handler was called and at
// short intervals otherwise.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(deadline)
	for !ok() {
		select {
		case <-r.changed:
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			r.t.Fatalf("never: %s\n%s", what, r.logs.String())
		}
	}
}

func (r *rig) calls() []message.Envelope {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message.Envelope(nil), r.handled...)
}

// settled says that a group has got everything and owes nothing.
func (r *rig) settled(stream, group string) bool {
	groups, err := r.client.XInfoGroups(context.Background(), stream).Result()
	if err != nil {
		return false
	}
	info, err := r.client.XInfoStream(context.Background(), stream).Result()
	if err != nil {
		return false
	}
	for _, g := range groups {
		if g.Name == group {
			return g.Pending == 0 && g.LastDeliveredID == info.LastGeneratedID
		}
	}
	return false
}

func (r *rig) add(stream string, fields ...string) string {
	r.t.Helper()
	id, err := r.client.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, Values: fields}).Result()
	require.NoError(r.t, err)
	return id
}

func (r *rig) deadLetters(stream string) []redis.XMessage {
	r.t.Helper()
	got, err := r.client.XRange(context.Background(), stream+":dlq", "-", "+").Result()
	require.NoError(r.t, err)
	return got
}

// sum adds a counter up over the series of a status.
func (r *rig) sum(name, status string) (total int64) {
	r.t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(r.t, r.reader.Collect(context.Background(), &rm))
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if m.Name != name || !ok {
				continue
			}
			for _, p := range sum.DataPoints {
				if v, _ := p.Attributes.Value("status"); status == "" || v.AsString() == status {
					total += p.Value
				}
			}
		}
	}
	return total
}

func succeed(context.Context, *message.Envelope) error { return nil }

// entry is one stream entry of a fixture.
type entry struct {
	Stream string
	ID     string
	Fields map[string]string
}

func lines[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	require.NoError(t, err)
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<22)
	for scanner.Scan() {
		var v T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &v))
		all = append(all, v)
	}
	require.NoError(t, scanner.Err())
	return all
}

func TestEveryEntryThatProteanWroteIsHandled(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	prefix := testserver.Name(t)
	entries := lines[entry](t, "redis-events.jsonl")
	require.Len(t, entries, 156)
	streams := map[string]bool{}
	for _, e := range entries {
		stream := prefix + e.Stream
		streams[stream] = true
		r.add(stream, "data", e.Fields["data"])
	}
	var subs []engine.Subscription
	for stream := range streams {
		subs = append(subs, r.subscribe(stream, "shop.Everything", succeed))
	}
	r.run(engine.HealthConfig{Disabled: true}, subs...)
	r.until("all handled and acknowledged", func() bool {
		for stream := range streams {
			if !r.settled(stream, "shop.Everything") {
				return false
			}
		}
		return true
	})
	calls := r.calls()
	require.Len(t, calls, 156)
	for _, m := range calls {
		require.NoError(t, m.Verify())
		require.NotEmpty(t, m.Metadata.Integrity.Checksum)
	}
	require.Zero(t, r.sum("protean.subscription.dlq_routed", ""))
	require.EqualValues(t, 156, r.sum("protean.subscription.messages_processed", "ok"))
}

func TestMalformedEntriesAreDeadLetteredOnceEachAndAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	stream := testserver.Name(t) + "golden_shop::intake"
	type dead struct {
		Case   string
		Source entry
	}
	// What Python accepts too is handled; of what it rejects, we accept keys
	// that we do not know. Unregistered types are the handler's affair.
	accepted := map[string]bool{
		"handler": true, "a second field beside data": true, "domain is null": true, "no envelope": true,
		"envelope is null": true, "checksum is null": true, "unknown key at top level": true,
		"key in extensions": true, "version is text": true, "time ends with Z": true, "time is null": true,
		"headers without deadline": true, "flat metadata of old releases": true, "changed payload": true,
		"unknown key in metadata": true, "unknown key in headers": true, "unknown key in domain": true,
		"unregistered type": true, "unregistered version": true, "type of another category": true,
	}
	malformed := map[string]dead{}
	good := 0
	for _, d := range lines[dead](t, "dlq-entries.jsonl") {
		if d.Source.Stream != "golden_shop::intake" {
			continue
		}
		var fields []string
		for name, value := range d.Source.Fields {
			fields = append(fields, name, value)
		}
		id := r.add(stream, fields...)
		if accepted[d.Case] {
			good++
			continue
		}
		malformed[id] = d
	}
	require.Greater(t, len(malformed), 10)
	r.run(engine.HealthConfig{Disabled: true}, r.subscribe(stream, "domain.IntakeLog", succeed))
	r.until("everything settled", func() bool { return r.settled(stream, "domain.IntakeLog") })

	require.Len(t, r.calls(), good)
	found := r.deadLetters(stream)
	require.Len(t, found, len(malformed), "once each")
	for _, l := range found {
		var body struct {
			DLQ struct {
				OriginalID    string `json:"original_id"`
				FailureReason string `json:"failure_reason"`
			} `json:"_dlq_metadata"`
		}
		require.NoError(t, json.Unmarshal([]byte(l.Values["data"].(string)), &body))
		source, ok := malformed[body.DLQ.OriginalID]
		require.True(t, ok, "%s", l.Values["data"])
		delete(malformed, body.DLQ.OriginalID)
		require.NotEmpty(t, body.DLQ.FailureReason, source.Case)
		checkRaw(t, source.Case, source.Source.Fields, l)
	}
	require.Empty(t, malformed)
}

// checkRaw checks that nothing of the original is lost.
func checkRaw(t *testing.T, name string, fields map[string]string, l redis.XMessage) {
	t.Helper()
	data, has := fields["data"]
	raw, _ := l.Values["raw"].(string)
	switch {
	case !has:
		var all map[string]string
		require.NoError(t, json.Unmarshal([]byte(raw), &all), name)
		require.Equal(t, fields, all, name)
	case strings.HasPrefix(data, "{") && json.Valid([]byte(data)):
		require.Contains(t, l.Values["data"], strings.TrimSuffix(strings.TrimSpace(data), "}"), name)
	default:
		require.Equal(t, data, raw, name)
	}
}

func TestKeyOfAnotherTypeAtAStreamsNameIsNamedAndTheOthersRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	prefix := testserver.Name(t)
	bad, good := prefix+"shop::bad", prefix+"shop::good"
	require.NoError(t, r.client.HSet(context.Background(), bad, "a", "b").Err())
	r.add(good, "data", event("g1"))
	r.run(engine.HealthConfig{Disabled: true},
		r.subscribe(bad, "shop.Bad", succeed), r.subscribe(good, "shop.Good", succeed))
	r.until("the good one settles", func() bool { return r.settled(good, "shop.Good") })
	r.until("the bad one is named", func() bool { return strings.Contains(r.logs.String(), "hash") })
	require.Contains(t, r.logs.String(), bad)
	require.NoError(t, r.client.Del(context.Background(), bad).Err())
	r.add(bad, "data", event("b1"))
	r.until("the bad one runs once the key is gone", func() bool { return r.settled(bad, "shop.Bad") })
}

func TestRedisDownAtTheStartAndGoneInBetweenLosesNothing(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	server.Stop()
	r := newRig(t, server.URL)
	port := testserver.FreePort(t)
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	fail := sync.Map{}
	r.run(engine.HealthConfig{Address: address, Checks: health.Checks{Brokers: map[string]health.Pinger{"default": r.broker}}},
		r.subscribe("shop::order", "shop.Mailer", func(_ context.Context, m *message.Envelope) error {
			if _, again := fail.LoadOrStore(m.Metadata.Headers.ID, true); !again {
				return errors.New("first call fails")
			}
			return nil
		}))
	r.until("readiness says 503", func() bool { return probe(address, "/readyz") == http.StatusServiceUnavailable })
	require.Equal(t, http.StatusOK, probe(address, "/livez"))
	r.until("the log says it once", func() bool { return strings.Count(r.logs.String(), "cannot read") == 1 })

	server.Start()
	r.until("readiness says 200", func() bool { return probe(address, "/readyz") == http.StatusOK })
	r.publishMany("shop::order", "first", 50)
	r.until("some are handled", func() bool { return len(r.calls()) > 10 })
	server.Stop()
	r.until("readiness says 503 again", func() bool { return probe(address, "/readyz") == http.StatusServiceUnavailable })
	server.Start()
	r.publishMany("shop::order", "second", 50)
	r.until("everything is settled", func() bool { return r.settled("shop::order", "shop.Mailer") })
	done := map[string]bool{}
	for _, m := range r.calls() {
		if m.Source.Attempt > 1 {
			done[m.Metadata.Headers.ID] = true
		}
	}
	require.Len(t, done, 100)
	require.Empty(t, r.deadLetters("shop::order"))
	require.Equal(t, 2, strings.Count(r.logs.String(), "cannot read"), "one line a change of state")
	require.Equal(t, 2, strings.Count(r.logs.String(), "reading again"))
}

func (r *rig) publishMany(stream, name string, n int) {
	r.t.Helper()
	for i := range n {
		r.add(stream, "data", event(fmt.Sprintf("%s%d", name, i)))
	}
}

func probe(address, path string) int {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// event is a message as it travels, without a checksum.
func event(id string) string {
	return fmt.Sprintf(`{"data": {"order_id": %q}, "metadata": {"headers": {"id": %q, "time": null, "type": "Shop.OrderPlaced.v1",
		"stream": "shop::order-%s"}, "envelope": null, "domain": null, "event_store": null, "extensions": {}}}`, id, id, id)
}

func TestALostReplyOfAGroupReadStrandsNothing(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	proxy := testserver.Proxy(t, server.Addr)
	r := newRig(t, "redis://"+proxy.Addr)
	direct := server.Client(t)
	stream := testserver.Name(t) + "shop::order"
	r.run(engine.HealthConfig{Disabled: true}, r.subscribe(stream, "shop.Mailer", succeed))
	r.until("the group is there", func() bool { return r.settled(stream, "shop.Mailer") })
	dropped := proxy.DropReply("XREADGROUP")
	require.NoError(t, direct.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, Values: []string{"data", event("a")}}).Err())
	<-dropped
	r.until("the entry is handled and acknowledged", func() bool { return len(r.calls()) == 1 && r.settled(stream, "shop.Mailer") })
}

func TestEntryDeletedWhileItWaitsIsAcknowledgedAndCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	stream := testserver.Name(t) + "shop::order"
	ctx := context.Background()
	id := r.add(stream, "data", event("a"))
	require.NoError(t, r.client.XGroupCreate(ctx, stream, "shop.Mailer", "0").Err())
	require.NoError(t, r.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "shop.Mailer", Consumer: redisbroker.Released, Streams: []string{stream, ">"},
	}).Err())
	require.NoError(t, r.client.XDel(ctx, stream, id).Err())
	r.run(engine.HealthConfig{Disabled: true}, r.subscribe(stream, "shop.Mailer", succeed))
	r.until("nothing is pending", func() bool { return r.settled(stream, "shop.Mailer") })
	require.Empty(t, r.calls())
	require.EqualValues(t, 1, r.sum("protean.subscription.ghost_entries", ""))
}

func TestWhatAStopReleasesIsTakenByTheNextEngineAtOnce(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t).URL
	stream := testserver.Name(t) + "shop::order"
	first := newRig(t, url)
	sub := first.subscribe(stream, "shop.Mailer", func(context.Context, *message.Envelope) error { return errors.New("not today") })
	sub.Retry.Delay = time.Hour
	first.run(engine.HealthConfig{Disabled: true}, sub)
	first.publishMany(stream, "m", 5)
	first.until("all were called once", func() bool { return len(first.calls()) == 5 })
	require.NoError(t, first.halt())

	next := newRig(t, url)
	next.run(engine.HealthConfig{Disabled: true}, next.subscribe(stream, "shop.Mailer", succeed))
	next.until("all were handled", func() bool { return next.settled(stream, "shop.Mailer") })
	require.Len(t, next.calls(), 5)
	for _, m := range next.calls() {
		require.Equal(t, 2, m.Source.Attempt)
	}
}

func TestAConnectionThatOnlyTheServerBelievesInStrandsNothing(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	proxy := testserver.Proxy(t, server.Addr)
	r := newRig(t, "redis://"+proxy.Addr)
	direct := server.Client(t)
	r.run(engine.HealthConfig{Disabled: true}, r.subscribe("shop::order", "shop.Mailer", succeed))
	blocked := func() int {
		list, err := direct.ClientList(context.Background()).Result()
		require.NoError(t, err)
		return strings.Count(list, "flags=b")
	}
	for i := 0; strings.Count(r.logs.String(), "delivered and never seen") == 0; i++ {
		r.until("a read waits", func() bool { return blocked() == 1 })
		end := proxy.CutClients()
		r.until("the engine reads anew", func() bool { return blocked() != 1 })
		require.NoError(t, direct.XAdd(context.Background(), &redis.XAddArgs{
			Stream: "shop::order", Values: []string{"data", event(fmt.Sprint(i))},
		}).Err())
		r.until("it is handled", func() bool { return len(r.calls()) == i+1 && r.settled("shop::order", "shop.Mailer") })
		end()
	}
}

func TestAFullRedisIsStillDrained(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := server.Client(t)
	ctx := context.Background()
	r := newRig(t, server.URL)
	require.NoError(t, client.XGroupCreateMkStream(ctx, "shop::order", "shop.Mailer", "0").Err())
	r.publishMany("shop::order", "m", 20)
	require.NoError(t, client.ConfigSet(ctx, "maxmemory", "1").Err())
	r.run(engine.HealthConfig{Disabled: true}, r.subscribe("shop::order", "shop.Mailer", succeed))
	r.until("everything is settled", func() bool { return len(r.calls()) == 20 && r.settled("shop::order", "shop.Mailer") })
}

func TestARightThatIsMissingIsLoggedOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ denied, log string }{
		{"-xreadgroup", "cannot read"}, {"-evalsha", "cannot read"}, {"-xclaim", "cannot record attempts"},
	} {
		t.Run(row.denied, func(t *testing.T) {
			t.Parallel()
			server := testserver.StartRedis(t)
			client := server.Client(t)
			ctx := context.Background()
			rights := []any{"ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", row.denied}
			require.NoError(t, client.Do(ctx, rights...).Err())
			r := newRig(t, "redis://app:pw@"+server.Addr)
			r.run(engine.HealthConfig{Disabled: true}, r.subscribe("shop::order", "shop.Mailer", func(_ context.Context, m *message.Envelope) error {
				if m.Source.Attempt == 1 {
					return errors.New("first call fails")
				}
				return nil
			}))
			r.publishMany("shop::order", "m", 3)
			refused := func() (n int64) {
				entries, err := client.ACLLog(ctx, 100).Result()
				require.NoError(t, err)
				for _, e := range entries {
					n += e.Count
				}
				return n
			}
			r.until("it was refused several times", func() bool { return refused() > 3 })
			require.Equal(t, 1, strings.Count(r.logs.String(), row.log), r.logs.String())
			require.NoError(t, client.Do(ctx, "ACL", "SETUSER", "app", "+@all").Err())
			r.until("it goes on", func() bool { return r.settled("shop::order", "shop.Mailer") })
			require.Len(t, r.calls(), 6)
		})
	}
}

func TestABackfillLaneHasItsOwnDeadLettersAndFigures(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	r, stream := newRig(t, server.URL), testserver.Name(t)
	fn := func(context.Context, *message.Envelope) error { return handler.Reject(errors.New("broken")) }
	primary, lane := r.subscribe(stream, "g", fn), r.subscribe(stream+":backfill", "g", fn)
	lane.BackfillOf = stream
	r.run(engine.HealthConfig{Disabled: true}, primary, lane)
	require.NoError(t, r.client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream + ":backfill", Values: []string{"data", "no JSON"}}).Err())
	require.Eventually(t, func() bool { return r.client.XLen(t.Context(), stream+":backfill:dlq").Val() == 1 }, deadline, 10*time.Millisecond)
	require.Zero(t, r.client.XLen(t.Context(), stream+":dlq").Val())
	groups, err := r.client.XInfoGroups(t.Context(), stream+":backfill").Result()
	require.NoError(t, err)
	require.Equal(t, "g", groups[0].Name)
}

func TestABackfillLaneWithoutItsPrimaryLaneIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, testserver.Redis(t).URL)
	lane := r.subscribe("s:backfill", "g", nil)
	lane.BackfillOf = "s"
	_, err := engine.New(engine.Config{Subscriptions: []engine.Subscription{lane}})
	require.ErrorContains(t, err, `handler "g" on stream "s:backfill": BackfillOf names "s", which it does not consume in group "g" too`)
}
