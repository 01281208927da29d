// Package brokertest is the conformance suite of the brokers: what
// engine.Broker promises, tried on any adapter. [Flaky] injects faults into a
// broker for the tests of its callers.
package brokertest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Broker is an engine.Broker that the suite can also publish to.
type Broker interface {
	engine.Broker
	// Publish adds an entry of these fields, at least one, to a stream and
	// returns its id.
	Publish(ctx context.Context, stream string, fields ...message.Field) (id string, err error)
}

// Operator does by hand what a broker cannot prevent. A broker that implements it
// is also tried under it.
type Operator interface {
	// DestroyGroup is XGROUP DESTROY.
	DestroyGroup(ctx context.Context, stream, group string) error
	// DeleteConsumer is XGROUP DELCONSUMER.
	DeleteConsumer(ctx context.Context, stream, group, consumer string) error
	// DeleteStream is DEL.
	DeleteStream(ctx context.Context, stream string) error
	// Claim is XCLAIM … RETRYCOUNT count FORCE JUSTID.
	Claim(ctx context.Context, stream, group, consumer, id string, count int) error
}

// Run tries everything that a broker promises, each in a parallel subtest on a
// broker that open returns. The brokers may share one server: every subtest
// uses streams of its own, whose names begin with "brokertest-". Run closes
// what it opened.
//
// A test of an ability runs where the broker claims it; otherwise the operation
// must fail with broker.ErrUnsupported. Tests of what an operator may do run where
// the broker is an [Operator] too.
func Run(t *testing.T, open func(t *testing.T) Broker) {
	tests := slices.Concat(publishTests, joinTests, readTests, pendingTests, bodiesTests, ackTests, attemptTests,
		releaseTests, takeoverTests, lossTests, deadLetterTests, queueTests, renewTests, groupTests, trimTests, concurrencyTests,
		pauseTests, closeTests)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, open(t))
			if missing := test.needs &^ f.Capabilities(); missing != 0 {
				f.requireUnsupported(t, missing)
				return
			}
			test.run(t, f)
		})
	}
}

// test is one promise and what a broker must claim to be held to it.
type test struct {
	name  string
	needs broker.Capability
	run   func(t *testing.T, f *fixture)
}

// byHand runs a test only where there is an operator.
func byHand(run func(*testing.T, *fixture)) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		if f.operator != nil {
			run(t, f)
		}
	}
}

// fixture is a broker and a stream that no other test uses.
type fixture struct {
	Broker
	operator Operator // nil where there is none
	stream   string
}

func newFixture(t *testing.T, b Broker) *fixture {
	t.Cleanup(func() { require.NoError(t, b.Close(context.Background()), "close") })
	operator, _ := b.(Operator)
	return &fixture{Broker: b, operator: operator, stream: "brokertest-" + rand.Text()}
}

// publish adds n entries, each with its number as data, and returns their ids.
func (f *fixture) publish(t *testing.T, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = f.publishFields(t, data(string(rune('0'+i%10))))
	}
	return ids
}

func (f *fixture) publishFields(t *testing.T, fields ...message.Field) string {
	t.Helper()
	id, err := f.Publish(t.Context(), f.stream, fields...)
	require.NoError(t, err, "publish")
	require.NotEmpty(t, id)
	return id
}

func data(text string) message.Field {
	return message.Field{Name: message.DataField, Value: []byte(text)}
}

// join joins a group of the test's stream.
func (f *fixture) join(t *testing.T, group, consumer string) membership {
	t.Helper()
	return f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: group, Consumer: consumer})
}

func (f *fixture) joinAs(t *testing.T, m consumergroup.Member) membership {
	t.Helper()
	s, err := f.Join(t.Context(), m)
	require.NoError(t, err, "join")
	return membership{s}
}

// deadLetters reads the whole dead-letter queue of the test's stream.
func (f *fixture) deadLetters(t *testing.T) []message.Delivery {
	t.Helper()
	queue := consumergroup.Member{Stream: deadletter.QueueOf(f.stream), Group: rand.Text(), Consumer: "reader"}
	return f.joinAs(t, queue).read(t, 100)
}

// requireUnsupported tries what the broker says that it cannot do.
func (f *fixture) requireUnsupported(t *testing.T, missing broker.Capability) {
	t.Helper()
	if missing.Has(broker.ConsumerGroups) {
		_, err := f.Join(t.Context(), consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c"})
		require.ErrorIs(t, err, broker.ErrUnsupported, "join")
		return
	}
	s := f.join(t, "g", "c")
	if missing.Has(broker.BlockingRead) {
		_, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxBlock})
		require.ErrorIs(t, err, broker.ErrUnsupported, "blocking read")
	}
	if missing.Has(broker.DeadLetters) {
		id := f.publish(t, 1)[0]
		s.read(t, 1)
		_, err := s.DeadLetter(t.Context(), []deadletter.Entry{{ID: id, Data: []byte("{}")}})
		require.ErrorIs(t, err, broker.ErrUnsupported, "dead-letter")
		require.Equal(t, []string{id}, idsOf(s.pending(t)), "what was not dead-lettered is still pending")
	}
}
