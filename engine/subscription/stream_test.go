package subscription_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func watched() []collector.Watch {
	return []collector.Watch{{Domain: "shop", Handler: "OrderMailer", Group: group, Stream: stream, Type: "stream"}}
}

func TestMessagesAreHandledInOrderAndAcknowledged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		var want []string
		for i := range 57 {
			want = append(want, fmt.Sprintf("a/%d", i))
		}
		b.publish(want...)
		b.pass(2 * time.Second)

		require.Equal(t, want, b.ids())
		require.Equal(t, figures{}, b.figures())
		require.EqualValues(t, 57, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestCountersExistBeforeTheFirstMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		for _, status := range []string{"ok", "error", "skipped"} {
			require.Zero(t, b.count("protean.subscription.messages_processed", status))
		}
		require.Zero(t, b.count("protean.subscription.retries", ""))
		require.Zero(t, b.count("protean.subscription.dlq_routed", ""))
	})
}

func TestFailedMessageHoldsBackItsOwnStreamOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" && m.Source.Attempt == 1 {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "b/1", "a/2", "b/2")
		b.pass(500 * time.Millisecond)
		require.Equal(t, []string{"a/1", "b/1", "b/2"}, b.ids())
		b.publish("a/3", "c/1")
		b.pass(2 * time.Second)
		require.Equal(t, []string{"a/1", "b/1", "b/2", "c/1", "a/1", "a/2", "a/3"}, b.ids())
		require.Equal(t, 2, b.called()[4].attempt)
		require.EqualValues(t, 1, b.count("protean.subscription.retries", ""))
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "error"))
		require.Zero(t, b.pending())
	})
}

func TestOrderOfAPayloadField(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Order = "customer"
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" && m.Source.Attempt == 1 {
				return errBroken
			}
			return nil
		})
		b.publishText(text(t, "a/1", `{"customer": "zoe"}`))
		b.publishText(text(t, "b/1", `{"customer": "zoe"}`))
		b.publishText(text(t, "a/2", `{"customer": "ann"}`))
		b.pass(3 * time.Second)
		require.Equal(t, []string{"a/1", "a/2", "a/1", "b/1"}, b.ids())
	})
}

func TestWithoutOrderNothingIsHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Order = subscription.OrderNone
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" && m.Source.Attempt == 1 {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "a/2")
		b.pass(3 * time.Second)
		require.Equal(t, []string{"a/1", "a/2", "a/1"}, b.ids())
	})
}

func TestMaxRetriesIsTheNumberOfCallsInAll(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return errBroken })
		b.publish("a/1")
		b.pass(10 * time.Second)

		calls := b.called()
		require.Len(t, calls, 3)
		for i, c := range calls {
			require.Equal(t, i+1, c.attempt)
			require.InDelta(t, i, c.at.Seconds(), 0.1, "one second between calls")
		}
		found := b.deadLetters()
		require.Len(t, found, 1)
		require.Equal(t, "a/1", found[0].Metadata.Headers.ID)
		require.Equal(t, 3, found[0].DLQ.RetryCount)
		require.Equal(t, "broken", found[0].DLQ.FailureReason)
		require.Equal(t, group, found[0].DLQ.ConsumerGroup)
		require.Equal(t, stream, found[0].DLQ.OriginalStream)
		require.Zero(t, b.pending())
		require.EqualValues(t, 1, b.count("protean.subscription.dlq_routed", ""))
		require.EqualValues(t, 2, b.count("protean.subscription.retries", ""))
	})
}

func TestRejectedMessageIsDeadLetteredAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Reject(errBroken) })
		b.publish("a/1")
		b.pass(time.Second)
		require.Len(t, b.called(), 1)
		require.Len(t, b.deadLetters(), 1)
		require.Zero(t, b.pending())
	})
}

func TestRetryAfterCostsNoAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		calls := 0
		b.run(config(), func(context.Context, *message.Envelope) error {
			if calls++; calls <= 5 {
				return handler.RetryAfter(time.Minute)
			}
			return nil
		})
		b.publish("a/1")
		b.pass(10 * time.Minute)
		require.Len(t, b.called(), 6)
		for _, c := range b.called() {
			require.Equal(t, 1, c.attempt)
		}
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestTypeOfAnotherHandlerIsSkipped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		fn := handler.Dispatch(handler.KindEvent, []handler.Route{{Type: "Shop.OrderShipped.v1", Func: succeed}})
		b.run(config(), fn)
		b.publish("a/1")
		b.pass(time.Second)
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "skipped"))
		require.Zero(t, b.pending())
		require.Empty(t, b.deadLetters())
	})
}

func TestMessageOfAnotherOriginIsSkipped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.OriginStream = "shop::cart"
		b.run(c, succeed)
		b.publish("a/1")
		b.pass(time.Second)
		require.Empty(t, b.called())
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "skipped"))
		require.Zero(t, b.pending())
	})
}

func TestPanicIsAFailureAndTheStreamGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				panic("no such customer")
			}
			return nil
		})
		b.publish("a/1", "b/1")
		b.pass(5 * time.Second)
		require.Equal(t, []string{"a/1", "b/1", "a/1", "a/1"}, b.ids())
		found := b.deadLetters()
		require.Len(t, found, 1)
		require.Contains(t, found[0].DLQ.FailureReason, "no such customer")
	})
}

func TestUnreadableEntriesAreDeadLetteredOnceAndTheStreamGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		b.publishText("this is not JSON")
		_, err := b.broker.Publish(context.Background(), stream, message.Field{Name: "payload", Value: []byte("{}")})
		require.NoError(t, err)
		b.publish("a/1")
		b.pass(5 * time.Second)

		require.Equal(t, []string{"a/1"}, b.ids())
		found := b.deadLetters()
		require.Len(t, found, 2)
		require.Equal(t, "this is not JSON", found[0].Raw)
		require.JSONEq(t, `{"payload": "{}"}`, found[1].Raw)
		require.Zero(t, b.pending())
		require.EqualValues(t, 2, b.count("protean.subscription.dlq_routed", ""))
	})
}

func TestWithoutDeadLettersAMessageGivenUpIsDiscarded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.DeadLetters = false
		b.run(c, func(context.Context, *message.Envelope) error { return errBroken })
		b.publish("a/1")
		b.pass(5 * time.Second)
		require.Len(t, b.called(), 3)
		require.Zero(t, b.pending())
		require.Empty(t, b.deadLetters())
		require.Zero(t, b.count("protean.subscription.dlq_routed", ""))
	})
}

func TestHandlerThatTakesTooLongIsEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout = 5 * time.Second
		c.Retry.MaxAttempts = 1
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID != "a/1" {
				return ctx.Err()
			}
			<-ctx.Done()
			return ctx.Err()
		})
		b.publish("a/1", "b/1")
		b.pass(10 * time.Second)
		require.Equal(t, []string{"a/1", "b/1"}, b.ids())
		found := b.deadLetters()
		require.Len(t, found, 1, "the next message has a context of its own")
		require.Contains(t, found[0].DLQ.FailureReason, "handler_timeout_seconds")
	})
}

func TestHandlersRunSideBySideAndKeepEachStreamsOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency = 4
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(time.Second)
			return nil
		})
		b.publish("a/1", "a/2", "b/1", "c/1", "d/1", "b/2")
		b.pass(500 * time.Millisecond)
		require.ElementsMatch(t, []string{"a/1", "b/1", "c/1", "d/1"}, b.ids())
		b.pass(3 * time.Second)
		require.ElementsMatch(t, []string{"a/2", "b/2"}, b.ids()[4:])
		require.Zero(t, b.pending())
	})
}

func TestReadingStopsWhileTooMuchWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.MessagesPerTick = 2
		b.run(c, func(context.Context, *message.Envelope) error { return handler.RetryAfter(time.Hour) })
		for i := range 100 {
			b.publish(fmt.Sprintf("s%d/1", i))
		}
		b.pass(30 * time.Second)
		require.LessOrEqual(t, b.pending(), 10*2+2*2, "ten reads wait, one is in hand, one offered")
		require.GreaterOrEqual(t, b.pending(), 10*2)
	})
}

func TestNothingIsStrandedByALostReply(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		clear := b.broker.Inject(brokertest.Fault{Method: "Read", ReplyLost: true, Times: -1})
		b.pass(2 * time.Second) // the read under way when the fault began is over
		b.publish("a/1", "a/2", "a/3")
		b.pass(20 * time.Second)
		clear()
		b.pass(10 * time.Second)
		require.Equal(t, []string{"a/1", "a/2", "a/3"}, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestLostAcknowledgementIsRepeatedNotTheHandler(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		b.broker.Inject(brokertest.Fault{Method: "Ack", Times: 4})
		b.broker.Inject(brokertest.Fault{Method: "Read", Nth: 2, Times: 4})
		b.publish("a/1", "a/2")
		b.pass(20 * time.Second)
		require.Equal(t, []string{"a/1", "a/2"}, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestFailedDeadLetterIsRepeatedNotTheHandler(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Reject(errBroken) })
		b.broker.Inject(brokertest.Fault{Method: "DeadLetter", Times: 5})
		b.publish("a/1")
		b.pass(30 * time.Second)
		require.Len(t, b.called(), 1)
		require.Len(t, b.deadLetters(), 1)
		require.Zero(t, b.pending())
	})
}

func TestBrokerThatIsDownAtTheStartIsWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		clear := b.broker.Inject(brokertest.Fault{Times: -1})
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.False(t, b.runner.Status().Joined)
		clear()
		b.publish("a/1")
		b.pass(10 * time.Second)
		require.True(t, b.runner.Status().Joined)
		require.Equal(t, []string{"a/1"}, b.ids())
	})
}

func TestBrokerGoneAndBackLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Source.Attempt == 1 {
				return errBroken
			}
			return nil
		})
		b.publish("a/1", "b/1", "c/1")
		b.pass(100 * time.Millisecond)
		clear := b.broker.Inject(brokertest.Fault{Times: -1})
		b.pass(time.Minute)
		clear()
		b.publish("d/1")
		b.pass(time.Minute)
		require.Len(t, b.called(), 8)
		require.Zero(t, b.pending())
		require.Empty(t, b.deadLetters())
	})
}

func TestEachLaterCallIsOnRecordBeforeItIsMade(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error { return errBroken })
		clear := b.broker.Inject(brokertest.Fault{Method: "Attempt", Times: -1})
		b.publish("a/1")
		b.pass(30 * time.Second)
		require.Len(t, b.called(), 1, "no second call while it cannot be recorded")
		clear()
		b.pass(30 * time.Second)
		require.Len(t, b.called(), 3)
		require.Len(t, b.deadLetters(), 1)
	})
}

func TestTargetThatIsDownCostsNoMessageAnything(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
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
		b.pass(30 * time.Second)
		require.Equal(t, []subscription.GateReason{subscription.TargetDown}, b.runner.Status().Gate)
		require.EqualValues(t, 1, b.count("protean.subscription.target_down", ""))
		require.Less(t, len(b.called()), 15, "probes back off")

		b.pass(time.Minute)
		require.Empty(t, b.runner.Status().Gate)
		require.Zero(t, b.count("protean.subscription.target_down", ""))
		require.Zero(t, b.pending())
		require.Empty(t, b.deadLetters())
		require.EqualValues(t, 100, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
		requireInOrder(t, b.ids(), "a", 50)
		requireInOrder(t, b.ids(), "b", 50)
	})
}

// requireInOrder checks that the last calls of an aggregate's messages came in
// their order.
func requireInOrder(t *testing.T, ids []string, aggregate string, n int) {
	t.Helper()
	last := -1
	for want := range n {
		at := -1
		for i, id := range ids {
			if id == fmt.Sprintf("%s/%d", aggregate, want) {
				at = i
			}
		}
		require.Greater(t, at, last, "%s/%d", aggregate, want)
		last = at
	}
}

func TestAMessageOverWhichTheTargetGoesDownIsDeadLetteredEvenIfNoOtherWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			switch n := b.nth(m); {
			case m.Metadata.Headers.ID != "a/1":
				return nil
			case n%2 == 1: // the application crashes over it,
				return handler.Interrupted(errBroken)
			default: // and is down while it starts again
				return handler.Unavailable(errBroken)
			}
		})
		b.publish("a/1", "a/2", "a/3")
		b.pass(10 * time.Minute)
		dead := b.deadLetters()
		require.Len(t, dead, 1)
		require.Equal(t, 3, dead[0].DLQ.RetryCount)
		require.Equal(t, []string{"a/2", "a/3"}, b.ids()[len(b.ids())-2:])
		require.Zero(t, b.pending())
	})
}

func TestMessageThatAloneBringsTheTargetDownIsDeadLettered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "bad/1" {
				return handler.Unavailable(errBroken)
			}
			return nil
		})
		b.publish("bad/1")
		for i := range 40 {
			b.publish(fmt.Sprintf("s%d/1", i))
			b.pass(10 * time.Second)
		}
		require.EqualValues(t, 40, b.count("protean.subscription.messages_processed", "ok"))
		found := b.deadLetters()
		require.Len(t, found, 1)
		require.Equal(t, "bad/1", found[0].Metadata.Headers.ID)
		require.Zero(t, b.pending())
	})
}

func TestStopReleasesWhatWaitsAndTheNextEngineGoesOnCounting(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.Delay = time.Minute
		fail := func(context.Context, *message.Envelope) error { return errBroken }
		b.run(c, fail)
		b.publish("a/1", "a/2", "b/1")
		b.pass(70 * time.Second) // a/1 and b/1 were called twice
		require.NoError(t, b.halt())
		require.Equal(t, 3, b.pending())

		b.run(c, fail)
		b.pass(time.Second)
		calls := b.called()[4:]
		require.Len(t, calls, 3, "what was released is taken at once: %v", calls)
		for _, got := range calls {
			want := map[string]int{"a/1": 3, "a/2": 1, "b/1": 3}[got.id]
			require.Equal(t, want, got.attempt, got.id)
		}
		b.pass(10 * time.Minute)
		require.Len(t, b.deadLetters(), 3)
		require.Zero(t, b.pending())
	})
}

func TestStopLetsHandlersFinish(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(context.Context, *message.Envelope) error {
			time.Sleep(5 * time.Second)
			return nil
		})
		b.publish("a/1", "b/1")
		b.pass(time.Second)
		require.NoError(t, b.halt())
		require.Equal(t, []string{"a/1"}, b.ids(), "the second is not begun")
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
		require.Equal(t, 1, b.pending(), "the second is released")
	})
}

func TestHandlerThatIsCutOffByAStopHasNotFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.MaxAttempts = 1
		b.run(c, func(ctx context.Context, _ *message.Envelope) error { <-ctx.Done(); return ctx.Err() })
		b.publish("a/1", "b/1")
		b.pass(time.Second)
		b.stop()
		b.pass(time.Second)
		b.endWork()
		require.NoError(t, b.halt())
		require.Empty(t, b.deadLetters())
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
		require.Equal(t, 2, b.pending(), "both are released")

		b.run(c, succeed)
		b.pass(time.Second)
		require.Equal(t, []call{{"a/1", 1, 0}, {"b/1", 1, 0}}, b.called()[1:])
		require.Zero(t, b.pending())
	})
}

func TestHandlerThatIgnoresItsContextIsNamed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		let := make(chan struct{})
		b.run(config(), func(context.Context, *message.Envelope) error { <-let; return nil })
		b.publish("a/1", "b/1")
		b.pass(time.Second)
		b.endWork()
		err := b.halt()
		var stuck *subscription.StuckError
		require.ErrorAs(t, err, &stuck, "%v", err)
		require.Len(t, stuck.Entries, 1)
		require.Equal(t, 2, b.pending(), "both are released")
		close(let)
		synctest.Wait()
		require.Equal(t, 2, b.pending(), "what it did afterwards does not count")
	})
}

func TestAMessageOnAnIdleStreamIsAcknowledgedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		b.publish("a/1")
		b.pass(time.Millisecond)
		require.Len(t, b.called(), 1)
		require.Zero(t, b.pending())
	})
}

func TestEntriesOfForeignShapeHoldEachOtherUpOnlyByAFieldThatIsNamed(t *testing.T) {
	for order, want := range map[string][]string{
		subscription.OrderStream: {"p1", "p2", "p3", "p1"},
		"customer":               {"p1", "p3", "p1", "p2"},
	} {
		t.Run(order, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Format, c.Order = handler.FormatFields, order
				var ids []string
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					id, _ := message.FieldText(m.Data, "id")
					ids = append(ids, id)
					if id == "p1" && m.Source.Attempt == 1 {
						return errBroken
					}
					return nil
				})
				for _, p := range [][2]string{{"p1", "zoe"}, {"p2", "zoe"}, {"p3", "ann"}} {
					_, err := b.broker.Publish(t.Context(), stream,
						message.Field{Name: "id", Value: []byte(p[0])}, message.Field{Name: "customer", Value: []byte(p[1])})
					require.NoError(t, err)
				}
				b.pass(3 * time.Second)
				require.Equal(t, want, ids)
			})
		})
	}
}
