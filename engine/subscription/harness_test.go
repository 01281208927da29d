package subscription_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
)

const (
	stream = "shop::order"
	queue  = "shop::order:dlq"
	group  = "shop.OrderMailer"
)

// bench is one subscription over a broker that fails on demand, in virtual
// time.
type bench struct {
	t       *testing.T
	kind    kind
	broker  *brokertest.Flaky // nil for another kind
	runner  *subscription.Runner
	budget  *subscription.Budget // nil: the default
	meter   metric.Meter         // nil: the subscription counts for itself
	pauses  subscription.Pauses  // nil: it cannot be paused
	log     testlog.Output
	stop    context.CancelFunc
	endWork context.CancelFunc
	ended   chan error

	mu    sync.Mutex
	calls []call
}

// call is one call of the handler.
type call struct {
	id      string // of the message
	attempt int
	at      time.Duration // since the start
}

func config() subscription.Config {
	return subscription.Config{
		Domain: "shop", Handler: group, Stream: stream, DeadLetters: true, MessagesPerTick: 10,
		Retry: retry.Policy{MaxAttempts: 3, Delay: time.Second},
	}
}

// inBubble runs a test in virtual time on a fresh memory broker.
func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	inBubbleOver(t, newGroupKind, test)
}

func newGroupKind() kind { return groupKind{broker: brokertest.NewFlaky(memorybroker.New())} }

// inBubbleOver does so on a source of any kind.
func inBubbleOver(t *testing.T, make func() kind, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, kind: make()}
		if g, ok := b.kind.(groupKind); ok {
			b.broker = g.broker
			defer func() { require.NoError(t, b.broker.Close(context.Background())) }()
		}
		defer func() { _ = b.halt() }()
		test(t, b)
	})
}

// run starts the subscription; fn is called beside the bookkeeping.
func (b *bench) run(c subscription.Config, fn handler.Func) {
	b.t.Helper()
	began := time.Now()
	recorded := func(ctx context.Context, m *message.Envelope) error {
		b.mu.Lock()
		b.calls = append(b.calls, call{m.Metadata.Headers.ID, m.Source.Attempt, time.Since(began)})
		b.mu.Unlock()
		return fn(ctx, m)
	}
	var err error
	b.runner, err = subscription.New(c, b.kind.open(), recorded, subscription.Environment{Meter: b.meter, Logger: b.log.Logger(), Budget: b.budget})
	require.NoError(b.t, err)
	var ctx, work context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	work, b.endWork = context.WithCancel(context.Background())
	if b.pauses != nil {
		w := subscription.NewPauseWatch(b.pauses, b.log.Logger())
		w.Add(b.runner)
		go w.Run(ctx)
	}
	ended := make(chan error, 1)
	b.ended = ended
	go func() { ended <- b.runner.Run(ctx, work) }()
	synctest.Wait()
}

// halt stops the subscription and returns what Run returned.
func (b *bench) halt() error {
	if b.ended == nil {
		return nil
	}
	b.stop()
	err := <-b.ended
	b.endWork()
	b.ended = nil
	synctest.Wait()
	return err
}

// pass lets virtual time go by.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) called() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// ids are the messages of the calls so far, in their order.
func (b *bench) ids() []string {
	var ids []string
	for _, c := range b.called() {
		ids = append(ids, c.id)
	}
	return ids
}

// publish adds events of one aggregate each: "a/1" is event 1 of aggregate a.
func (b *bench) publish(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		b.publishText(text(b.t, id, `{"n": 1}`))
	}
}

func (b *bench) publishText(text string) {
	b.t.Helper()
	b.kind.publish(b.t, text)
}

// text is an event as it travels.
func text(t *testing.T, id, data string) string {
	t.Helper()
	aggregate, _, _ := cut(id)
	e, err := message.New(message.KindEvent, message.Headers{
		ID: id, Type: "Shop.OrderPlaced.v1", Stream: stream + "-" + aggregate, Time: time.Now(),
	}, json.RawMessage(data))
	require.NoError(t, err)
	raw, err := e.Encode()
	require.NoError(t, err)
	return string(raw)
}

func cut(id string) (aggregate, n string, ok bool) {
	for i := range id {
		if id[i] == '/' {
			return id[:i], id[i+1:], true
		}
	}
	return id, "", false
}

// pending is what is pending, whichever consumer holds it, by the figures of the
// group.
func (b *bench) pending() int {
	b.t.Helper()
	return int(b.figures().pending)
}

type figures struct{ pending, lag, deadLetters float64 }

func (b *bench) figures() figures {
	b.t.Helper()
	mem := b.broker.Broker.(*memorybroker.Broker)
	got, err := mem.Source("shop", "default", watched()).Collect(context.Background())
	require.NoError(b.t, err)
	require.Len(b.t, got.Subscriptions, 1)
	s := got.Subscriptions[0]
	return figures{s.Pending.V, s.Lag.V, s.DeadLetters.V}
}

// deadLetters are the entries of the dead-letter queue.
func (b *bench) deadLetters() []deadLetter {
	b.t.Helper()
	ctx := context.Background()
	m, err := b.broker.Broker.Join(ctx, consumergroup.Member{Stream: queue, Group: "inspect", Consumer: fmt.Sprint(time.Now())})
	require.NoError(b.t, err)
	got, _, err := m.Read(ctx, consumergroup.Read{Max: 1000})
	require.NoError(b.t, err)
	var found []deadLetter
	for _, d := range got {
		found = append(found, readDeadLetter(b.t, d))
	}
	return found
}

// deadLetter is a dead letter as a reader finds it.
type deadLetter struct {
	Metadata struct {
		Headers struct{ ID string }
	}
	DLQ struct {
		OriginalStream string `json:"original_stream"`
		OriginalID     string `json:"original_id"`
		ConsumerGroup  string `json:"consumer_group"`
		RetryCount     int    `json:"retry_count"`
		FailureReason  string `json:"failure_reason"`
	} `json:"_dlq_metadata"`
	Raw string `json:"-"`
}

func readDeadLetter(t *testing.T, d message.Delivery) (l deadLetter) {
	t.Helper()
	data, ok := d.Data()
	require.True(t, ok)
	require.NoError(t, json.Unmarshal(data, &l))
	for _, f := range d.Fields {
		if f.Name == "raw" {
			l.Raw = string(f.Value)
		}
	}
	return l
}

// count is the value of a counter or gauge, added up over the series that have
// the attribute status, where one is given.
func (b *bench) count(name, status string) int64 {
	b.t.Helper()
	return count(b.t, subscription.Metrics([]*subscription.Runner{b.runner}), name, status)
}

func count(t *testing.T, metrics []metricdata.Metrics, name, status string) int64 {
	t.Helper()
	var total int64
	found := false
	for _, m := range metrics {
		if m.Name != name {
			continue
		}
		for _, p := range points(m.Data) {
			if v, ok := p.Attributes.Value(attribute.Key("status")); status == "" || ok && v.AsString() == status {
				total += p.Value
				found = true
			}
		}
	}
	require.True(t, found, "no series of %s with status %q", name, status)
	return total
}

func points(data metricdata.Aggregation) []metricdata.DataPoint[int64] {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		return d.DataPoints
	case metricdata.Gauge[int64]:
		return d.DataPoints
	}
	return nil
}

func succeed(context.Context, *message.Envelope) error { return nil }

var errBroken = errors.New("broken")
