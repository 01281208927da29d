package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/broker/redisbroker"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// subscribers is a domain over one broker whose handlers read what others write.
type subscribers struct {
	t      *testing.T
	broker brokertest.Broker
	file   string
	stream string
	log    testlog.Output

	mu      sync.Mutex
	calls   []message.Envelope
	changed chan struct{}
}

// onEachBroker runs a test over Redis and over the broker in memory.
func onEachBroker(t *testing.T, test func(t *testing.T, s *subscribers)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(*testing.T) brokertest.Broker{
		"redis": func(t *testing.T) brokertest.Broker {
			b, err := redisbroker.New(redisbroker.Config{URI: func() (string, error) { return testserver.Redis(t).URL, nil }})
			require.NoError(t, err)
			return b
		},
		"inline": func(*testing.T) brokertest.Broker { return memorybroker.New() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &subscribers{t: t, broker: open(t), stream: testserver.Name(t), changed: make(chan struct{}, 1)})
		})
	}
}

// run runs a subscriber and returns the engine, which stops with the test.
func (s *subscribers) run(fn handler.Func) *engine.Engine {
	s.t.Helper()
	file, err := config.Parse("domain.toml", []byte("server.health.enabled = false\n"+s.file))
	require.NoError(s.t, err)
	d, err := domain.Open(s.t.Context(), file, domain.Adapters{Brokers: map[string]func(domain.BrokerSpec) (engine.Broker, error){
		"inline": func(domain.BrokerSpec) (engine.Broker, error) { return s.broker, nil },
	}}, domain.WithLogger(s.log.Logger()))
	require.NoError(s.t, err)
	require.NoError(s.t, d.Register(handler.Subscriber("shop.billing.Payments", s.stream, func(ctx context.Context, m *message.Envelope) error {
		err := fn(ctx, m)
		s.mu.Lock()
		s.calls = append(s.calls, *m)
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		return err
	})))
	run, err := d.Config()
	require.NoError(s.t, err)
	e, err := engine.New(run)
	require.NoError(s.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		require.NoError(s.t, <-ended)
		require.NoError(s.t, d.Close(context.Background()))
	})
	return e
}

func (s *subscribers) publish(text string) (id string) {
	s.t.Helper()
	id, err := s.broker.Publish(s.t.Context(), s.stream, message.Field{Name: message.DataField, Value: []byte(text)})
	require.NoError(s.t, err)
	return id
}

// until waits until ok of the calls so far.
func (s *subscribers) until(ok func(calls []message.Envelope) bool) []message.Envelope {
	s.t.Helper()
	limit := time.After(deadline)
	for {
		s.mu.Lock()
		calls := slices.Clone(s.calls)
		s.mu.Unlock()
		if ok(calls) {
			return calls
		}
		select {
		case <-s.changed:
		case <-limit:
			s.t.Fatalf("never; calls %v\n%s", calls, s.log.String())
		}
	}
}

// deadLetters waits for n of them.
func (s *subscribers) deadLetters(n int) (all []map[string]any) {
	s.t.Helper()
	m, err := s.broker.Join(s.t.Context(), consumergroup.Member{Stream: s.stream + ":dlq", Group: "test", Consumer: "c"})
	require.NoError(s.t, err)
	limit := time.Now().Add(deadline)
	for len(all) < n {
		require.True(s.t, time.Now().Before(limit), "never; %d dead letters\n%s", len(all), s.log.String())
		got, _, err := m.Read(s.t.Context(), consumergroup.Read{Max: 100, Block: time.Second})
		require.NoError(s.t, err)
		for _, d := range got {
			text, _ := d.Data()
			var letter map[string]any
			require.NoError(s.t, json.Unmarshal(text, &letter))
			all = append(all, letter)
		}
	}
	return all
}

func TestASubscriberGetsPlainJSONAsAMessageOfItsBroker(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		s.run(func(context.Context, *message.Envelope) error { return nil })
		plain := s.publish(`{"order": "o-1", "amount": 12.50}`)
		s.publish(`{"metadata": {"headers": {"id": "pay-2"}, "domain": {"correlation_id": "c-2"}}}`)
		calls := s.until(func(calls []message.Envelope) bool { return len(calls) == 2 })
		first, second := calls[0], calls[1]
		require.Equal(t, `{"order": "o-1", "amount": 12.50}`, string(first.Data))
		require.Equal(t, plain, first.Metadata.Headers.ID)
		require.Equal(t, s.stream, first.Metadata.Headers.Stream)
		require.Equal(t, "BROKER_MESSAGE", first.Metadata.Domain.Kind)
		require.Regexp(t, "^[0-9a-f]{32}$", first.Metadata.Domain.CorrelationID)
		require.Equal(t, "pay-2", second.Metadata.Headers.ID)
		require.Equal(t, "c-2", second.Metadata.Domain.CorrelationID)
	})
}

// The original aborts the whole batch at a payload that is no JSON object, at each
// read for ever.
func TestAPayloadThatIsNoObjectCostsASubscriberItselfOnly(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		s.run(func(context.Context, *message.Envelope) error { return nil })
		bad := []string{`[1, 2]`, `"text"`, `not JSON`, `null`, "{\"a\": \"\xff\"}", ``}
		ids := make([]string, len(bad))
		for i, text := range bad {
			s.publish(fmt.Sprintf(`{"n": %d}`, i))
			ids[i] = s.publish(text)
		}
		calls := s.until(func(calls []message.Envelope) bool { return len(calls) == len(bad) })
		for i, m := range calls {
			require.Equal(t, fmt.Sprintf(`{"n": %d}`, i), string(m.Data))
		}
		var originals []string
		for _, letter := range s.deadLetters(len(bad)) {
			md := letter["_dlq_metadata"].(map[string]any)
			originals = append(originals, md["original_id"].(string))
			require.Contains(t, letter, "_dlq_raw", "the content is kept")
		}
		require.ElementsMatch(t, ids, originals)
	})
}

func TestWhatASubscriberFailsToHandleIsTriedAndDeadLetteredAsTheFileSays(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		s.file = `
[server.broker_subscription]
max_retries = 4
retry_delay_seconds = 0.01
`
		s.run(func(context.Context, *message.Envelope) error { return errors.New("no such order") })
		began := time.Now().Add(-time.Second)
		id := s.publish(`{"order": "o-1"}`)
		letter := s.deadLetters(1)[0]
		md := letter["_dlq_metadata"].(map[string]any)
		failed, err := time.Parse(time.RFC3339Nano, strings.Replace(md["failed_at"].(string), " ", "T", 1))
		require.NoError(t, err)
		require.WithinRange(t, failed, began, time.Now().Add(time.Second), "when it failed, as Python writes it for subscribers")
		require.Regexp(t, `^Payments-.+-[0-9]+-[0-9a-f]{6}$`, md["consumer"])
		delete(md, "failed_at")
		delete(md, "consumer")
		require.Equal(t, map[string]any{
			"order": "o-1",
			"_dlq_metadata": map[string]any{
				"reason":          "exhausted",
				"original_stream": s.stream, "original_id": id, "consumer_group": "shop.billing.Payments",
				"retry_count": 4.0, "failure_reason": "no such order",
			},
		}, letter)
		calls := s.until(func(calls []message.Envelope) bool { return len(calls) >= 4 })
		require.Len(t, calls, 4)
		for i, m := range calls {
			require.Equal(t, i+1, m.Source.Attempt)
			require.Equal(t, calls[0].Metadata, m.Metadata, "the same message at every attempt")
		}
	})
}

func TestASubscriberKeepsNoDeadLetterWhereTheFileSaysSo(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		s.file = "[server.broker_subscription]\nmax_retries = 1\nenable_dlq = false\n"
		s.run(func(_ context.Context, m *message.Envelope) error {
			if strings.Contains(string(m.Data), "bad") {
				return errors.New("no")
			}
			return nil
		})
		s.publish(`{"order": "bad"}`)
		s.publish(`{"order": "good"}`)
		s.until(func(calls []message.Envelope) bool { return len(calls) == 2 })
		m, err := s.broker.Join(t.Context(), consumergroup.Member{Stream: s.stream + ":dlq", Group: "test", Consumer: "c"})
		require.NoError(t, err)
		got, _, err := m.Read(t.Context(), consumergroup.Read{Max: 10})
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

// The original takes ten messages a second.
func TestASubscriberIsNotBoundToTenMessagesASecond(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		const n = 2000
		for i := range n {
			s.publish(fmt.Sprintf(`{"n": %d}`, i))
		}
		began := time.Now()
		s.run(func(context.Context, *message.Envelope) error { return nil })
		s.until(func(calls []message.Envelope) bool { return len(calls) == n })
		require.Less(t, time.Since(began), 20*time.Second, "it would take 200 s")
	})
}

// With the original a flushed Redis needs a restart.
func TestASubscribersGroupIsMadeAgainWhereItIsGone(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *subscribers) {
		s.run(func(context.Context, *message.Envelope) error { return nil })
		s.publish(`{"n": 1}`)
		s.until(func(calls []message.Envelope) bool { return len(calls) == 1 })
		switch b := s.broker.(type) {
		case *redisbroker.Broker:
			require.NoError(t, testserver.Redis(t).Client(t).Del(t.Context(), s.stream).Err())
		case *memorybroker.Broker:
			require.NoError(t, b.DeleteStream(t.Context(), s.stream))
		}
		time.Sleep(2 * time.Millisecond) // or the new stream's first entry may have the id of the old one's
		s.publish(`{"n": 2}`)
		calls := s.until(func(calls []message.Envelope) bool { return len(calls) == 2 })
		require.Equal(t, `{"n": 2}`, string(calls[1].Data))
	})
}
