package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// publishChanged adds an event of which something was changed.
func (b *bench) publishChanged(id string, change func(*message.Envelope)) {
	b.t.Helper()
	e, err := message.Decode([]byte(text(b.t, id, `{"n": 1}`)))
	require.NoError(b.t, err)
	change(&e)
	raw, err := e.Encode()
	require.NoError(b.t, err)
	b.publishText(string(raw))
}

// L19 and L24 of the reference: there each failed message was waited for in its turn,
// those of an earlier run too.
func TestManyFailingMessagesDoNotStallNewOnes(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.Delay = 10 * time.Second
		fail := func(_ context.Context, m *message.Envelope) error {
			if strings.HasPrefix(m.Metadata.Headers.ID, "bad") {
				return errBroken
			}
			return nil
		}
		b.run(c, fail)
		for i := range 90 {
			b.publish(fmt.Sprintf("bad%d/1", i))
		}
		b.pass(time.Second)
		require.Len(t, b.called(), 90)
		b.publish("good/1")
		b.pass(time.Second)
		require.Equal(t, "good/1", b.ids()[90])
		require.NoError(t, b.halt())

		b.run(c, fail)
		b.publish("good/2")
		b.pass(time.Second)
		require.Contains(t, b.ids(), "good/2")
		b.pass(time.Minute)
		require.Len(t, b.called(), 2+90*3, "the others have had all their attempts")
		require.Zero(t, b.kind.unfinished(b))
	})
}

// L20 and L25: there a subscription whose server was down at its start was gone without
// a word, and one whose server went down later asked it 130 times a second, with a
// traceback each.
func TestAServerThatIsDownIsAskedNowAndThenWithOneLineInTheLog(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		b.publish("a/1")
		b.failNext(20)
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.False(t, b.runner.Status().Joined, "asked fewer than 20 times in a minute, and known to be without its server")
		require.Empty(t, b.called())
		b.pass(10 * time.Minute)
		require.True(t, b.runner.Status().Joined)
		require.Equal(t, []string{"a/1"}, b.ids())

		b.failNext(100)
		b.pass(time.Minute)
		require.Equal(t, 1, strings.Count(b.log.String(), "reading again"), "asked fewer than 100 times in a minute, signs of life included")
		b.pass(30 * time.Minute)
		b.publish("a/2")
		b.pass(time.Second)
		require.Equal(t, []string{"a/1", "a/2"}, b.ids())
		for _, line := range []string{"cannot read;", "reading again"} {
			require.Equal(t, 2, strings.Count(b.log.String(), line), "one each time\n%s", b.log.String())
		}
	})
}

// failNext makes the next calls of the subscription's server fail.
func (b *bench) failNext(calls int) {
	if b.broker != nil {
		b.broker.Inject(brokertest.Fault{Times: calls})
		return
	}
	store := b.kind.(storeKind).store
	store.mu.Lock()
	defer store.mu.Unlock()
	store.faults = calls
}

// L21: there the keys of the extensions were the arguments of a function of Python's,
// and one of the name of another argument ended the batch, again and again.
func TestExtensionsMayHaveAnyName(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		const extensions = `{"domain": "elsewhere", "self": 1, "message_in_context": null, "": {}}`
		var got []string
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			got = append(got, string(m.Metadata.Extensions))
			return nil
		})
		b.publishChanged("a/1", func(e *message.Envelope) { e.Metadata.Extensions = json.RawMessage(extensions) })
		b.publish("a/2")
		b.pass(5 * time.Second)
		require.Equal(t, []string{"a/1", "a/2"}, b.ids(), "once each")
		require.JSONEq(t, extensions, got[0])
		require.Zero(t, b.kind.unfinished(b))
	})
}

// L2 and L7: there a command that had succeeded was taken for failed, and one with an
// idempotency key for done.
func TestACommandIsHandledOnceWhateverItsIdempotencyKey(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		b.run(config(), handler.Dispatch(handler.KindCommand, []handler.Route{{Func: succeed}}))
		for _, id := range []string{"a/1", "a/2"} {
			b.publishChanged(id, func(e *message.Envelope) {
				e.Metadata.Domain.Kind, e.Metadata.Headers.IdempotencyKey = message.KindCommand, "order-7"
			})
		}
		b.pass(time.Minute)
		require.Equal(t, []string{"a/1", "a/2"}, b.ids())
		require.EqualValues(t, 2, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
		require.Zero(t, b.kind.unfinished(b))
	})
}

// L55: there all commands of one aggregate have its id as their own.
func TestMessagesOfOneIDAreToldApart(t *testing.T) {
	overEachKind(t, func(t *testing.T, b *bench) {
		var done []string
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.Type == "Place" && m.Source.Attempt < 3 {
				return errBroken
			}
			done = append(done, m.Metadata.Headers.Type)
			return nil
		})
		for _, typ := range []string{"Place", "Pay", "Ship"} {
			b.publishChanged("order-7/1", func(e *message.Envelope) { e.Metadata.Headers.ID, e.Metadata.Headers.Type = "order-7", typ })
		}
		b.pass(time.Minute)
		require.Equal(t, []string{"Place", "Pay", "Ship"}, done)
		require.Len(t, b.called(), 5)
		require.Zero(t, b.kind.unfinished(b))
	})
}

// L49: there a dead letter told the time at which its message was made, and no reason.
func TestADeadLetterTellsWhenItsMessageWasGivenUpAndWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1")
		b.pass(24 * time.Hour)
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Reject(errBroken) })
		b.pass(time.Second)
		queue, err := b.broker.Broker.(*memorybroker.Broker).DeadLetters(t.Context(), stream, deadletter.Page{Max: 2})
		require.NoError(t, err)
		require.Len(t, queue, 1)
		got := deadletter.Read(stream, queue[0]).Metadata
		require.WithinDuration(t, time.Now(), got.FailedAt, time.Second)
		require.Equal(t, deadletter.Rejected, got.Reason)
		require.Equal(t, "broken", got.FailureReason)
	})
}
