package subscription_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// slowly is a handler of which one message takes a minute.
func slowly(_ context.Context, m *message.Envelope) error {
	if m.Metadata.Headers.ID == "slow/1" {
		time.Sleep(time.Minute)
	}
	return nil
}

func TestASlowMessageHoldsUpNoAcknowledgementOfThoseBeforeIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1", "slow/1")
		b.run(config(), slowly)
		b.pass(time.Second)
		require.Len(t, b.called(), 3)
		require.Equal(t, 1, b.pending(), "only the slow one is unfinished")
		require.EqualValues(t, 2, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestAStopRepeatsNothingThatWasFinishedBeforeAStuckHandler(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1", "stuck/1")
		let := make(chan struct{})
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "stuck/1" {
				<-let
			}
			return nil
		})
		b.pass(time.Second)
		b.endWork()
		var stuck *subscription.StuckError
		require.ErrorAs(t, b.halt(), &stuck)
		require.Equal(t, 1, b.pending())
		close(let)
		synctest.Wait()
	})
}

func TestOrderIsKeptWhenTheFirstOfAStreamIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.MaxAttempts = 1
		b.publish("a/1", "a/2", "slow/1", "a/3")
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return errBroken
			}
			return slowly(ctx, m)
		})
		b.pass(2 * time.Minute)
		require.Equal(t, []string{"a/1", "slow/1", "a/2", "a/3"}, b.ids())
	})
}

func TestTypesOfOtherHandlersSayNothingOfTheTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		up := time.Now().Add(time.Minute)
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			switch {
			case m.Metadata.Headers.ID != "a/1":
				return handler.Skip(nil)
			case time.Now().Before(up):
				return handler.Unavailable(errBroken)
			}
			return nil
		})
		b.publish("a/1")
		for i := range 300 {
			b.publish(fmt.Sprintf("x%d/1", i))
			b.pass(200 * time.Millisecond)
		}
		b.pass(3 * time.Minute)
		require.Empty(t, b.deadLetters(), "the target was down for a minute")
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
		require.EqualValues(t, 300, b.count("protean.subscription.messages_processed", "skipped"))
	})
}

func TestSeveralMessagesThatBringTheTargetDownDoNotStopTheStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("bad/1", "bad2/1", "bad3/1")
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if id := m.Metadata.Headers.ID; id[:3] == "bad" {
				return handler.Unavailable(errBroken)
			}
			return nil
		})
		b.pass(5 * time.Second)
		for i := range 60 {
			b.publish(fmt.Sprintf("s%d/1", i))
			b.pass(10 * time.Second)
		}
		b.pass(time.Hour)
		require.EqualValues(t, 60, b.count("protean.subscription.messages_processed", "ok"))
		require.Len(t, b.deadLetters(), 3)
		require.Zero(t, b.pending())
	})
}

func TestABlipOfTheTargetIsOverSoonAtAnyConcurrency(t *testing.T) {
	for _, n := range []int{1, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency, c.MessagesPerTick = n, 50
				up := time.Now().Add(time.Second)
				b.run(c, func(context.Context, *message.Envelope) error {
					time.Sleep(10 * time.Millisecond)
					if time.Now().Before(up) {
						return handler.Unavailable(errBroken)
					}
					return nil
				})
				for i := range 50 {
					b.publish(fmt.Sprintf("s%d/1", i))
				}
				b.pass(4 * time.Second)
				require.Positive(t, b.count("protean.subscription.messages_processed", "ok"), "back after one second")
			})
		})
	}
}

func TestALostReplyOfADeadLetterIsCountedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Reject(errBroken) })
		b.broker.Inject(brokertest.Fault{Method: "DeadLetter", ReplyLost: true})
		b.publish("a/1")
		b.pass(30 * time.Second)
		require.Len(t, b.deadLetters(), 1)
		require.EqualValues(t, 1, b.count("protean.subscription.dlq_routed", ""))
		require.Zero(t, b.pending())
	})
}

func TestAStopRightAfterALostReplyLeavesNoHole(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		b.broker.Inject(brokertest.Fault{Method: "Read", ReplyLost: true, Times: -1})
		b.pass(2 * time.Second) // the read under way when the fault began is over
		b.publish("a/1")
		for b.pending() == 0 {
			b.pass(time.Millisecond)
		}
		require.Empty(t, b.called())
		require.NoError(t, b.halt())

		b.broker = brokertest.NewFlaky(b.broker.Broker)
		b.kind = groupKind{broker: b.broker}
		b.run(config(), succeed)
		b.pass(2 * time.Second)
		require.Equal(t, []string{"a/1"}, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestAHandlerThatEndsItsGoroutineFails(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if strings.HasPrefix(m.Metadata.Headers.ID, "bad") {
						runtime.Goexit()
					}
					return nil
				})
				b.publish("bad1/1", "bad2/1", "bad3/1", "bad4/1", "bad5/1", "bad1/2", "a/1", "b/1")
				b.pass(time.Minute)
				b.publish("c/1")
				b.pass(time.Minute)
				require.EqualValues(t, 3, b.count("protean.subscription.messages_processed", "ok"))
				dead := b.deadLetters()
				require.Len(t, dead, 6)
				require.Contains(t, dead[0].DLQ.FailureReason, "Goexit")
				require.Equal(t, 3, dead[0].DLQ.RetryCount)
				require.Zero(t, b.pending())
			})
		})
	}
}

func TestWhatCannotBeAcknowledgedAtAStopDoesNotKeepTheRestFromBeingReleased(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1")
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "b/1" && b.nth(m) == 1 {
				return handler.RetryAfter(time.Hour)
			}
			if b.nth(m) == 1 {
				time.Sleep(time.Second) // it returns while the engine stops
			}
			return nil
		})
		repair := b.broker.Inject(brokertest.Fault{Method: "Ack", Times: -1})
		b.stop()
		stopped := time.Now()
		require.Error(t, b.halt())
		require.Less(t, time.Since(stopped), 7*time.Second)
		repair()
		b.run(config(), succeed)
		b.pass(5 * time.Second)
		require.ElementsMatch(t, []string{"a/1", "a/1", "b/1"}, b.ids(), "released, and claimed at once")
		require.Zero(t, b.pending())
	})
}

func TestAHandlerThatChangesItsEnvelopeGetsAnotherForTheNextCall(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var seen []string
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			seen = append(seen, m.Metadata.Headers.ID+" "+m.Metadata.Headers.Type+" "+string(m.Data))
			id := m.Metadata.Headers.ID
			m.Metadata.Headers.Type, m.Metadata.Headers.Stream = "Unknown.v1", "elsewhere"
			if id == "b/1" { // and what it shares with the entry
				for i := range m.Data {
					m.Data[i] = 'x'
				}
			}
			m.Data = nil
			return errBroken
		})
		b.publish("a/1", "b/1")
		b.pass(time.Minute)
		for _, id := range []string{"a/1", "b/1"} {
			n := 0
			for _, s := range seen {
				if s == id+` Shop.OrderPlaced.v1 {"n":1}` || s == id+` Shop.OrderPlaced.v1 {"n": 1}` {
					n++
				}
			}
			require.Equal(t, 3, n, "%s: %v", id, seen)
		}
		require.Len(t, b.deadLetters(), 2)
		require.Zero(t, b.pending())
	})
}

// joined remembers the consumer that joined last.
type joined struct {
	consumergroup.Broker
	consumer string
}

func (j *joined) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	j.consumer = m.Consumer
	return j.Broker.Join(ctx, m)
}

func TestWhatAnOperatorRemovedJustBeforeAStopIsReleased(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, b *memorybroker.Broker, consumer string) error{
		"the consumer": func(ctx context.Context, b *memorybroker.Broker, consumer string) error {
			return b.DeleteConsumer(ctx, stream, group, consumer)
		},
		"the group": func(ctx context.Context, b *memorybroker.Broker, _ string) error {
			return b.DestroyGroup(ctx, stream, group)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var link *joined
			make := func() kind {
				flaky := brokertest.NewFlaky(memorybroker.New())
				link = &joined{Broker: flaky}
				return groupKind{broker: flaky, link: link}
			}
			inBubbleOver(t, make, func(t *testing.T, b *bench) {
				c := config()
				c.FromEnd = true
				b.run(c, func(context.Context, *message.Envelope) error { return handler.RetryAfter(time.Hour) })
				b.publish("a/1", "b/1", "c/1")
				b.pass(time.Second)
				require.Len(t, b.ids(), 3)
				mem := b.broker.Broker.(*memorybroker.Broker)
				require.NoError(t, remove(t.Context(), mem, link.consumer))
				require.NoError(t, b.halt())
				b.run(c, succeed)
				b.pass(5 * time.Second)
				require.Len(t, b.ids(), 6, "claimed back, released, and claimed at once")
				require.Zero(t, b.pending())
			})
		})
	}
}

// panicky is an error whose own methods panic.
type panicky struct{}

func (panicky) Error() string { return "panicky" }
func (panicky) Is(error) bool { panic("not comparable") }
func (panicky) As(any) bool   { panic("not assignable") }

func TestAnErrorWhoseMethodsPanicIsAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout = time.Second
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "late/1" {
				<-ctx.Done()
			}
			return panicky{}
		})
		b.publish("a/1", "late/1")
		b.pass(time.Minute)
		require.Len(t, b.deadLetters(), 2)
		require.Zero(t, b.pending())
	})
}

// The race detector watches.
func TestAHandlerMayChangeItsEnvelopeWhileItIsStuck(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout = time.Second
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			for range 100 {
				m.Metadata.Headers.ID += "x"
				m.Metadata.Headers.Type += "x"
				m.Metadata.Headers.Time = time.Now()
				time.Sleep(100 * time.Millisecond)
			}
			go func() { m.Metadata.Headers.Type = "kept" }()
			return errBroken
		})
		b.publish("a/1")
		b.pass(5 * time.Minute)
		require.Len(t, b.deadLetters(), 1)
		require.Contains(t, b.log.String(), "message.id=a/1")
	})
}

func TestAHandlerThatChangesWhatTheOrderIsKeptByLeavesNothingBehind(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency, c.SkipChecksums, c.Order = n, true, "n"
				b.publish("a/1", "b/1", "c/1")
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if m.Metadata.Headers.ID == "a/1" && m.Source.Attempt == 1 {
						m.Data[bytes.IndexByte(m.Data, '1')] = '2'
						return errBroken
					}
					return nil
				})
				b.pass(5 * time.Minute)
				require.Zero(t, b.pending())
			})
		})
	}
}
