package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// kind is one kind of source, and what a test must know of it.
type kind interface {
	open() subscription.Opener
	// publish adds a message in the wire's form.
	publish(t *testing.T, text string)
	// unfinished is how many messages are neither handled nor given up.
	unfinished(b *bench) int
}

type groupKind struct {
	broker *brokertest.Flaky
	link   consumergroup.Broker // the broker as the subscription reaches it; nil: as it is
}

func (k groupKind) open() subscription.Opener {
	if k.link != nil {
		return consumergroup.Over(k.link)
	}
	return consumergroup.Over(k.broker)
}

func (k groupKind) publish(t *testing.T, text string) {
	t.Helper()
	_, err := k.broker.Publish(context.Background(), stream, message.Field{Name: "data", Value: []byte(text)})
	require.NoError(t, err)
}

func (k groupKind) unfinished(b *bench) int {
	f := b.figures()
	return int(f.pending + f.lag)
}

// storeKind is an event store. Its subscription reads the category of which the
// tests publish streams.
type storeKind struct{ store *faultyStore }

// faultyStore fails on demand, and remembers what was given up.
type faultyStore struct {
	*memorystore.Store

	mu        sync.Mutex
	faults    int // how many calls fail from now on
	exhausted map[string]int
}

func newStoreKind() kind {
	return storeKind{&faultyStore{Store: memorystore.New(), exhausted: make(map[string]int)}}
}

func (s *faultyStore) strike() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == 0 {
		return nil
	}
	s.faults--
	return errBroken
}

func (s *faultyStore) ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error) {
	if err := s.strike(); err != nil {
		return nil, err
	}
	return s.Store.ReadCategory(ctx, category, after, max)
}

func (s *faultyStore) Wait(ctx context.Context, category string, after int64, d time.Duration) (bool, error) {
	if err := s.strike(); err != nil {
		return false, err
	}
	return s.Store.Wait(ctx, category, after, d)
}

func (s *faultyStore) ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error) {
	if err := s.strike(); err != nil {
		return nil, err
	}
	return s.Store.ReadAt(ctx, category, positions)
}

func (s *faultyStore) Own(ctx context.Context, subscription, category string) (catchup.Ownership, error) {
	if err := s.strike(); err != nil {
		return nil, err
	}
	owned, err := s.Store.Own(ctx, subscription, category)
	if err != nil {
		return nil, err
	}
	return faultyOwnership{owned, s}, nil
}

type faultyOwnership struct {
	catchup.Ownership
	store *faultyStore
}

func (o faultyOwnership) Save(ctx context.Context, c catchup.Change) error {
	if err := o.store.strike(); err != nil {
		return err
	}
	o.store.mu.Lock()
	for _, f := range c.Exhausted {
		o.store.exhausted[f.MessageID]++
	}
	o.store.mu.Unlock()
	return o.Ownership.Save(ctx, c)
}

func (k storeKind) open() subscription.Opener { return catchup.Over(k.store) }

func (k storeKind) publish(t *testing.T, text string) {
	t.Helper()
	e, err := message.Decode([]byte(text))
	require.NoError(t, err)
	_, err = k.store.Append(context.Background(), e)
	require.NoError(t, err)
}

func (k storeKind) unfinished(b *bench) int {
	state, err := k.store.LoadPosition(context.Background(), group, stream)
	require.NoError(b.t, err)
	left, err := k.store.Store.ReadCategory(context.Background(), stream, state.Position, 1<<20)
	require.NoError(b.t, err)
	return len(left) + len(state.Failed)
}

// overEachKind runs a test of dispatching on a source of each kind.
func overEachKind(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	for name, make := range map[string]func() kind{
		"consumer group": func() kind { return groupKind{broker: brokertest.NewFlaky(memorybroker.New())} },
		"event store":    newStoreKind,
	} {
		t.Run(name, func(t *testing.T) { inBubbleOver(t, make, test) })
	}
}

func TestEachKindHandlesInOrderAndFinishes(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		var want []string
		for i := range 57 {
			want = append(want, fmt.Sprintf("a/%d", i))
		}
		b.publish(want...)
		b.pass(5 * time.Second)
		require.Equal(t, want, b.ids())
		require.Zero(t, b.kind.unfinished(b))
		require.EqualValues(t, 57, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestEachKindHoldsBackTheFailedMessagesOwnKeyOnly(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" && m.Source.Attempt < 3 {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "b/1", "a/2", "b/2")
		b.pass(10 * time.Second)
		require.Equal(t, []string{"a/1", "b/1", "b/2", "a/1", "a/1", "a/2"}, b.ids())
		require.EqualValues(t, 2, b.count("protean.subscription.retries", ""))
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestEachKindGivesUpAfterMaxRetriesAndGoesOn(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "a/2")
		b.pass(20 * time.Second)
		require.Equal(t, []string{"a/1", "a/1", "a/1", "a/2"}, b.ids())
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestEachKindGoesOnWhereTheLastRunStopped(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.Delay = time.Minute
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "b/1", "b/2")
		b.pass(10 * time.Second)
		require.NoError(t, b.halt())
		require.Equal(t, 1, b.kind.unfinished(b))
		b.publish("a/2", "b/3")
		b.run(c, succeed)
		b.pass(10 * time.Second)
		later := b.called()[3:]
		require.Len(t, later, 3)
		slices.SortStableFunc(later, func(a, b call) int { return strings.Compare(a.id[:1], b.id[:1]) }) // by aggregate
		require.Equal(t, []string{"a/1", "a/2", "b/3"}, []string{later[0].id, later[1].id, later[2].id})
		require.Equal(t, 2, later[0].attempt)
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestEachKindIsHeldUpWhileTheTargetIsDown(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		up := time.Now().Add(time.Minute)
		b.run(config(), func(context.Context, *message.Envelope) error {
			if time.Now().Before(up) {
				return handler.Unavailable(errBroken)
			}
			return nil
		})
		for i := range 50 {
			b.publish(fmt.Sprintf("a/%d", i), fmt.Sprintf("b/%d", i))
		}
		b.pass(2 * time.Minute)
		require.EqualValues(t, 100, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
		requireInOrder(t, b.ids(), "a", 50)
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestEachKindRunsHandlersSideBySide(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency = 4
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(time.Second)
			return nil
		})
		b.publish("a/1", "a/2", "b/1", "c/1", "d/1", "b/2")
		b.pass(900 * time.Millisecond)
		require.ElementsMatch(t, []string{"a/1", "b/1", "c/1", "d/1"}, b.ids())
		b.pass(5 * time.Second)
		require.ElementsMatch(t, []string{"a/2", "b/2"}, b.ids()[4:])
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestAnEventStoresPositionMovesOnWhileAMessageWaits(t *testing.T) {
	inBubbleOver(t, newStoreKind, func(t *testing.T, b *bench) {
		store := b.kind.(storeKind).store
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return handler.RetryAfter(time.Hour)
			}
			return nil
		})
		b.publish("a/1", "a/2", "b/1")
		b.pass(5 * time.Second)
		state, err := store.LoadPosition(t.Context(), group, stream)
		require.NoError(t, err)
		require.EqualValues(t, 3, state.Position)
		require.Len(t, state.Failed, 2, "a/1, and a/2 that queues behind it")
		require.Equal(t, "a/1", state.Failed[0].MessageID)
		require.Zero(t, state.Failed[0].Attempts)
		b.pass(2 * time.Hour)
		require.NoError(t, b.halt())
	})
}

// A message that was stored as JSON may have been rewritten by the store.
func TestAStoredMessageIsDeliveredAsItWasAppended(t *testing.T) {
	store := memorystore.New()
	e, err := message.New(message.KindEvent, message.Headers{ID: "1", Type: "T.v1", Stream: stream + "-a"}, json.RawMessage(`{"n": 42.0}`))
	require.NoError(t, err)
	_, err = store.Append(t.Context(), e)
	require.NoError(t, err)
	got, err := store.ReadCategory(t.Context(), stream, 0, 10)
	require.NoError(t, err)
	require.Len(t, got, 1)
	read, err := message.FromDelivery(got[0].Delivery())
	require.NoError(t, err)
	require.NoError(t, read.Verify())
	require.JSONEq(t, `{"n": 42.0}`, string(read.Data))
	require.Contains(t, string(read.Data), "42.0")
}
