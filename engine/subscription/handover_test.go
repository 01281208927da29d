package subscription_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// nth is the number of the message's call, this one included.
func (b *bench) nth(m *message.Envelope) (n int) {
	for _, id := range b.ids() {
		if id == m.Metadata.Headers.ID {
			n++
		}
	}
	return n
}

func TestWhatAnotherReplicaGivesBackDoublesNoCall(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		other, err := b.broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: "other"})
		require.NoError(t, err)
		b.publish("a/1")
		got, _, err := other.Read(ctx, consumergroup.Read{Max: 1})
		require.NoError(t, err)

		c := config()
		c.Retry.Delay = 5 * time.Second
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID != "a/1" && b.nth(m) == 1 {
				return errBroken
			}
			return nil
		})
		b.publish("a/2", "a/3") // a/3 queues behind a/2, which waits
		b.pass(time.Second)
		_, err = other.Release(ctx, []consumergroup.Entry{{ID: got[0].ID}}) // and a/1 behind a/3
		require.NoError(t, err)
		b.pass(time.Minute)
		require.ElementsMatch(t, []string{"a/1", "a/2", "a/2", "a/3", "a/3"}, b.ids())
		require.EqualValues(t, 3, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.pending())
	})
}

func TestAReplacedEngineHandlesWhatWasGivenBackBeforeWhatIsNew(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		former, err := b.broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: "former"})
		require.NoError(t, err)
		var want []string
		for n := range 40 {
			want = append(want, fmt.Sprintf("a/%d", n+1))
		}
		b.publish(want...)
		got, _, err := former.Read(ctx, consumergroup.Read{Max: 25})
		require.NoError(t, err)
		var held []consumergroup.Entry
		for _, d := range got {
			held = append(held, consumergroup.Entry{ID: d.ID})
		}
		_, err = former.Release(ctx, held)
		require.NoError(t, err)
		b.run(config(), succeed)
		b.pass(5 * time.Second)
		require.Equal(t, want, b.ids())
	})
}

func TestAFlappingTargetBlamesNoMessageForWhatOthersFound(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.MaxAttempts = 1
		b.publish("x/1", "ok1/1", "down1/1", "ok2/1", "down2/1", "ok3/1", "down3/1", "ok4/1")
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			id := m.Metadata.Headers.ID
			if id == "x/1" && b.nth(m) <= 2 || strings.HasPrefix(id, "down") && b.nth(m) == 1 {
				return handler.Unavailable(errBroken)
			}
			return nil
		})
		b.pass(10 * time.Minute)
		require.Empty(t, b.deadLetters(), "calls: %v", b.ids())
		require.EqualValues(t, 8, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestAFaultAtTheVeryEndLeavesNoHole(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("waits/1")
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.RetryAfter(time.Hour) })
		b.broker.Inject(brokertest.Fault{Method: "Release"})
		require.NoError(t, b.halt())
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.Zero(t, b.pending())
	})
}

func TestAMessageThatNoProcessFinishesIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Retry.MaxAttempts = 2
		let := make(chan struct{})
		b.publish("a/1")
		for range 5 {
			b.run(c, func(context.Context, *message.Envelope) error { <-let; return nil })
			b.pass(2 * time.Second)
			b.endWork()
			_ = b.halt() // the handler is stuck, its entry released
		}
		require.Len(t, b.called(), 3, "max_retries, and one that a stop may have cut off")
		require.Len(t, b.deadLetters(), 1)
		require.Zero(t, b.pending())
		close(let)
	})
}

func TestMessagesFinishedDuringAStopAreAcknowledgedWhileItWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency = 2
		b.publish("slow/1", "a/1")
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				time.Sleep(time.Second)
			}
			return slowly(ctx, m)
		})
		b.pass(100 * time.Millisecond)
		b.stop()
		b.pass(5 * time.Second)
		require.Equal(t, 1, b.pending(), "only the slow one")
		b.pass(time.Minute)
	})
}

func TestAFaultAtTheVeryEndRepeatsNothingThatWasFinished(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1")
		b.run(config(), func(context.Context, *message.Envelope) error { time.Sleep(time.Second); return nil })
		b.stop()
		b.broker.Inject(brokertest.Fault{Method: "Ack"})
		require.NoError(t, b.halt())
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.Equal(t, []string{"a/1"}, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestAFaultWhileTheLastReplyIsMadeUpForLeavesNoHole(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), succeed)
		clear := b.broker.Inject(brokertest.Fault{Method: "Read", ReplyLost: true, Times: -1})
		b.pass(2 * time.Second) // the read under way when the fault began is over
		b.publish("a/1")
		for b.pending() == 0 {
			b.pass(time.Millisecond)
		}
		b.broker.Inject(brokertest.Fault{Method: "Pending"})
		require.NoError(t, b.halt())
		clear()
		b.run(config(), succeed)
		b.pass(2 * time.Second)
		require.Equal(t, []string{"a/1"}, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestAMessageFinishedRightBeforeAStopIsAcknowledgedWhileTheNextIsSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "slow/1")
		b.run(config(), slowly)
		b.pass(time.Millisecond)
		require.Len(t, b.called(), 2)
		b.stop()
		b.pass(5 * time.Second)
		require.Equal(t, 1, b.pending(), "only the slow one")
		b.pass(time.Minute)
	})
}

// released publishes messages that another replica had, and released after so many
// attempts each.
func released(t *testing.T, b *bench, attempts ...int) {
	t.Helper()
	ctx := context.Background()
	former, err := b.broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: "former"})
	require.NoError(t, err)
	for i := range attempts {
		b.publish(fmt.Sprintf("a/%d", i+1))
	}
	got, _, err := former.Read(ctx, consumergroup.Read{Max: len(attempts)})
	require.NoError(t, err)
	var held []consumergroup.Entry
	for i, d := range got {
		held = append(held, consumergroup.Entry{ID: d.ID, Attempts: attempts[i]})
	}
	_, err = former.Release(ctx, held)
	require.NoError(t, err)
}

func TestAReleasedMessageIsNotOvertakenByOneThatIsToBeRecordedFirst(t *testing.T) {
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				released(t, b, 0, 1)
				c := config()
				c.Concurrency = workers
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if m.Metadata.Headers.ID == "a/1" && b.nth(m) == 1 {
						return handler.RetryAfter(time.Minute)
					}
					return nil
				})
				b.pass(10 * time.Minute)
				require.Equal(t, []string{"a/1", "a/1", "a/2"}, b.ids())
			})
		})
	}
}

func TestAPoisonMessageHoldsUpNoneBeforeIt(t *testing.T) {
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				released(t, b, 0, 9)
				c := config()
				c.Concurrency = workers
				b.broker.Inject(brokertest.Fault{Method: "DeadLetter", Times: -1})
				b.run(c, succeed)
				b.pass(10 * time.Minute)
				require.Equal(t, []string{"a/1"}, b.ids())
			})
		})
	}
}
