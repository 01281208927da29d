package subscription_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// claimIdle is how long a consumer shows no life before it is taken for dead.
const claimIdle = 60 * time.Second

// stranger joins the group as another process does, and reads n entries.
func (b *bench) stranger(name string, n int) (consumergroup.Membership, []string) {
	b.t.Helper()
	m, err := b.broker.Broker.Join(context.Background(), consumergroup.Member{Stream: stream, Group: group, Consumer: name})
	require.NoError(b.t, err)
	got, _, err := m.Read(context.Background(), consumergroup.Read{Max: n})
	require.NoError(b.t, err)
	require.Len(b.t, got, n)
	var ids []string
	for _, d := range got {
		ids = append(ids, d.ID)
	}
	return m, ids
}

func numbered(aggregate string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s/%d", aggregate, i+1))
	}
	return ids
}

func TestWhatADeadProcessLeftIsHandledInOrderAndNothingSooner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		left := numbered("a", 100)
		b.publish(left...)
		b.stranger("dead", 100)
		b.run(config(), succeed)
		b.pass(claimIdle - time.Second)
		require.Empty(t, b.ids())
		b.pass(claimIdle * 2 / 3)
		require.Equal(t, left, b.ids(), "each once, within claim_idle_seconds and two thirds")
		require.Zero(t, b.pending())
		require.Contains(t, b.log.String(), "a consumer shows no life")
		for _, c := range b.called() {
			require.Equal(t, 2, c.attempt, "the dead process may have begun one")
		}
	})
}

// A Python consumer works through a long batch without any other sign of life.
func TestNothingIsTakenFromAConsumerThatWorksThroughALongBatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish(numbered("a", 20)...)
		python, ids := b.stranger("python", 20)
		b.run(config(), succeed)
		for _, id := range ids {
			b.pass(claimIdle - time.Second) // a call
			require.NoError(t, python.Ack(context.Background(), []string{id}))
		}
		b.pass(10 * claimIdle)
		require.Empty(t, b.ids())
		require.Zero(t, b.pending())
	})
}

func TestAReplicaWithALongCallIsNotTakenForDead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish(numbered("a", 5)...)
		c := config()
		c.HandlerTimeout = time.Hour
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(10 * claimIdle)
			return nil
		})
		other := b.replica(config(), succeed)
		b.pass(time.Hour)
		require.NoError(t, other())
		require.Equal(t, numbered("a", 5), b.ids())
		require.Zero(t, b.count("protean.subscription.entries_lost", ""))
	})
}

// replica runs a second subscription of the same group, and returns what stops it.
func (b *bench) replica(c subscription.Config, fn handler.Func) (stop func() error) {
	b.t.Helper()
	other := &bench{t: b.t, kind: b.kind, broker: b.broker}
	other.run(c, fn)
	return other.halt
}

// untilCalled lets time pass until a handler was called.
func (b *bench) untilCalled() {
	b.t.Helper()
	for range 1000 {
		if len(b.ids()) > 0 {
			return
		}
		b.pass(100 * time.Millisecond)
	}
	b.t.Fatal("no handler was called")
}

func TestWhileWhatWasLeftIsTakenOverNewMessagesGoOn(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.publish(numbered("old", 500)...)
				b.stranger("dead", 500)
				c := config()
				c.Concurrency = concurrency
				b.run(c, func(context.Context, *message.Envelope) error {
					time.Sleep(20 * time.Millisecond)
					return nil
				})
				b.untilCalled()
				for i := range 3 {
					id := fmt.Sprintf("new/%d", i)
					b.publish(id)
					b.pass(1500 * time.Millisecond)
					require.Contains(t, b.ids(), id)
				}
				require.Less(t, len(b.ids()), 500, "the takeover is under way")
				b.pass(7 * time.Second)
				require.Len(t, b.ids(), 503, "and does not wait for new ones: 500 times 20 ms")
				require.Zero(t, b.pending())
			})
		})
	}
}

// One that reads and acknowledges has the same number of entries pending time and
// again, and its process may not have been able to ask in between.
func TestAConsumerIsDeadOnlyAfterAWholeSpanWithoutASignOfLife(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		b.publish("a/1", "a/2", "a/3")
		python, ids := b.stranger("python", 2)
		other, more := b.stranger("other", 1)
		require.NoError(t, other.Ack(ctx, more))
		b.run(config(), succeed)
		b.pass(claimIdle / 2)
		repair := b.broker.Inject(brokertest.Fault{Method: "Heartbeat", Times: -1})
		b.pass(claimIdle / 2)
		require.NoError(t, b.broker.Broker.(*memorybroker.Broker).Claim(ctx, stream, group, "python", more[0], 1))
		b.pass(claimIdle)
		require.NoError(t, python.Ack(ctx, ids[1:]))
		repair()
		b.pass(claimIdle - time.Second)
		require.Empty(t, b.ids(), "it acknowledged less than claim_idle_seconds ago")
		b.pass(claimIdle)
		require.Equal(t, []string{"a/1", "a/3"}, b.ids())
	})
}

func TestAMessageThatFailsDoesNotHoldUpWhatWasLeftBehindIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1", "c/1")
		b.stranger("dead", 3)
		c := config()
		c.Retry.Delay = 20 * time.Minute
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return errBroken
			}
			return nil
		})
		b.pass(2 * claimIdle)
		require.Equal(t, []string{"a/1", "b/1", "c/1"}, b.ids())
		b.pass(time.Hour)
		found := b.deadLetters()
		require.Len(t, found, 1)
		require.Equal(t, 3, found[0].DLQ.RetryCount, "the attempt of the dead process counts")
		require.Zero(t, b.pending())
	})
}

func TestWhatSeveralProcessesBeganAndNoneFinishedIsPoisonAndIsNotCalled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "a/2")
		dead, ids := b.stranger("dead", 2)
		_, err := dead.Attempt(context.Background(), []consumergroup.Entry{{ID: ids[0], Attempts: 4}})
		require.NoError(t, err)
		b.run(config(), succeed)
		b.pass(2 * claimIdle)
		require.Equal(t, []string{"a/2"}, b.ids())
		found := b.deadLetters()
		require.Len(t, found, 1)
		require.Equal(t, "a/1", found[0].Metadata.Headers.ID)
		require.Equal(t, "attempted 4 times by processes that did not finish it", found[0].DLQ.FailureReason)
		require.Zero(t, b.pending())
	})
}

// As many as are called at once; of those that have no attempt to spare, one.
func TestNoMoreAreOnRecordAsBegunOfWhatWasLeftThanAreCalled(t *testing.T) {
	for _, c := range []struct {
		concurrency, attempts, begun int
	}{{1, 1, 1}, {1, 2, 1}, {8, 1, 8}, {8, 2, 1}, {8, 3, 1}} {
		t.Run(fmt.Sprintf("%d %d", c.concurrency, c.attempts), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				for i := range 30 {
					b.publish(fmt.Sprintf("a%d/1", i))
				}
				var left []string
				for _, name := range []string{"dead-1", "dead-2", "dead-3"} {
					left = append(left, b.leave(name, 10, c.attempts)...)
				}
				config := config()
				config.Concurrency = c.concurrency
				config.HandlerTimeout = time.Hour
				b.run(config, func(context.Context, *message.Envelope) error {
					time.Sleep(30 * time.Minute) // as if the process ended
					return nil
				})
				b.pass(5 * claimIdle)
				require.Len(t, b.ids(), c.begun)
				begun := 0
				for _, id := range left {
					if b.deliveries(id) > c.attempts {
						begun++
					}
				}
				require.Equal(t, c.begun, begun, "the others of its batch are as they were")
			})
		})
	}
}

// leave has a process read n entries and end at the so-manyeth attempt of each.
func (b *bench) leave(name string, n, attempts int) (ids []string) {
	b.t.Helper()
	dead, ids := b.stranger(name, n)
	var entries []consumergroup.Entry
	for _, id := range ids {
		entries = append(entries, consumergroup.Entry{ID: id, Attempts: attempts})
	}
	_, err := dead.Attempt(context.Background(), entries)
	require.NoError(b.t, err)
	return ids
}

// One that has no attempt to spare waits until those in hand have returned.
func TestOneWithoutAnAttemptToSpareIsCalledByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1", "c/1", "d/1", "e/1")
		b.leave("dead-1", 2, 1)
		b.leave("dead-2", 1, 2)
		b.leave("dead-3", 2, 1)
		c := config()
		c.Concurrency = 8
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(time.Second)
			return nil
		})
		b.pass(2 * claimIdle)
		calls := b.called()
		require.Len(t, calls, 5)
		require.Equal(t, "c/1", calls[2].id)
		for i := range calls {
			apart := max(i, 2) - min(i, 2) // from the one
			gap := max(calls[i].at, calls[2].at) - min(calls[i].at, calls[2].at)
			require.True(t, apart == 0 || gap >= time.Second, "%+v", calls)
		}
		require.Zero(t, b.pending())
	})
}

func TestNewMessagesGoOnAtFullSpeedBesideATakeover(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for name, first := range map[string]func() error{
			"slow":      func() error { time.Sleep(10 * time.Second); return nil },
			"postponed": func() error { return handler.RetryAfter(time.Hour) },
		} {
			if name == "slow" && concurrency == 1 {
				continue // nothing is called beside it
			}
			t.Run(fmt.Sprint(name, concurrency), func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					b.publish("a/1", "a/2", "a/3")
					b.leave("dead", 3, 2)
					c := config()
					c.Concurrency = concurrency
					b.run(c, func(_ context.Context, m *message.Envelope) error {
						if m.Metadata.Headers.ID == "a/1" {
							return first()
						}
						return nil
					})
					b.untilCalled()
					b.publish(numbered("new", 200)...)
					b.pass(time.Second)
					require.Subset(t, b.ids(), numbered("new", 200))
				})
			})
		}
	}
}

// It has not been called: it cannot be what ends the process next.
func TestOneThatWaitsBehindItsKeyDoesNotHoldUpWhatWasLeftBehindIt(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, attempts := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%d %d", concurrency, attempts), func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					b.publish("a/1", "b/1", "c/1", "d/1", "e/1", "a/2")
					b.leave("dead", 5, attempts)
					c := config()
					c.Concurrency = concurrency
					b.run(c, func(_ context.Context, m *message.Envelope) error {
						if m.Metadata.Headers.ID == "a/2" {
							return handler.RetryAfter(time.Hour)
						}
						return nil
					})
					b.pass(2 * claimIdle)
					require.ElementsMatch(t, []string{"a/2", "b/1", "c/1", "d/1", "e/1"}, b.ids())
					b.publish("new/1")
					b.pass(time.Second)
					require.Contains(t, b.ids(), "new/1")
				})
			})
		}
	}
}

func TestACallThatDoesNotReturnHoldsUpWhatWasLeftBehindItUntilItsTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("a/1", "b/1", "c/1")
		b.leave("dead", 3, 3)
		c := config()
		c.Concurrency = 2
		c.HandlerTimeout = 10 * time.Minute
		end := make(chan struct{})
		defer close(end)
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				<-end
			}
			return nil
		})
		b.untilCalled()
		b.pass(9 * time.Minute)
		require.Equal(t, []string{"a/1"}, b.ids())
		b.pass(2*time.Minute + 2*claimIdle)
		require.Equal(t, []string{"a/1", "b/1", "c/1"}, b.ids())
	})
}

// The target may be down over this message alone: another tells.
func TestAMessageThatBringsTheTargetDownDoesNotHoldUpWhatWasLeftBehindIt(t *testing.T) {
	for name, down := range map[string]func(error) error{"cut off": handler.Interrupted, "down": handler.Unavailable} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.publish("a/1", "b/1", "c/1")
				b.leave("dead", 3, 2)
				b.run(config(), func(_ context.Context, m *message.Envelope) error {
					if m.Metadata.Headers.ID == "a/1" {
						return down(errBroken)
					}
					return nil
				})
				b.untilCalled()
				b.pass(time.Minute)
				require.Subset(t, b.ids(), []string{"b/1", "c/1"})
			})
		})
	}
}

// The silence of the broker is no sign that others are dead.
func TestWhileTheBrokerDoesNotAnswerNoConsumerBecomesDead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		b.publish("a/1", "a/2", "a/3")
		python, ids := b.stranger("python", 3)
		b.run(config(), succeed)
		b.pass(claimIdle / 2)
		require.NoError(t, python.Ack(ctx, ids[:1]))
		b.pass(claimIdle / 3)
		repair := b.broker.Inject(brokertest.Fault{Method: "Heartbeat", Times: -1})
		b.pass(claimIdle)
		repair()
		b.pass(claimIdle / 2)
		require.NoError(t, python.Ack(ctx, ids[1:2]))
		b.pass(claimIdle - time.Second)
		require.Empty(t, b.ids())
		b.pass(claimIdle)
		require.Equal(t, []string{"a/3"}, b.ids(), "once it is dead indeed")
	})
}

// Acknowledgements wait for up to 50 ms. What was handled a moment before a message
// ended the process is taken over and called again: were it not acknowledged then, it
// would be blamed for each such process.
func TestWhatWasLeftIsAcknowledgedBeforeTheNextIsCalled(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				for i := range 10 {
					b.publish(fmt.Sprintf("a%d/1", i))
				}
				b.leave("dead", 10, 2)
				c := config()
				c.Concurrency = concurrency
				var pending []int
				b.run(c, func(context.Context, *message.Envelope) error {
					pending = append(pending, b.pending())
					return nil
				})
				b.pass(2 * claimIdle)
				require.Equal(t, []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, pending)
			})
		})
	}
}

// deliveries is the delivery count of a pending entry.
func (b *bench) deliveries(id string) int {
	b.t.Helper()
	ctx := context.Background()
	for _, name := range b.consumers() {
		m, err := b.broker.Broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: name})
		require.NoError(b.t, err)
		got, _, err := m.Pending(ctx, consumergroup.List{Max: 1000})
		require.NoError(b.t, err)
		for _, d := range got {
			if d.ID == id {
				return d.Attempts + 1
			}
		}
	}
	b.t.Fatalf("%s is not pending", id)
	return 0
}

// consumers are those of the group that have something pending.
func (b *bench) consumers() (names []string) {
	b.t.Helper()
	ctx := context.Background()
	m, err := b.broker.Broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: "inspector"})
	require.NoError(b.t, err)
	others, err := m.Heartbeat(ctx)
	require.NoError(b.t, err)
	for _, other := range others {
		names = append(names, other.Name)
	}
	return names
}

func TestWhateverFailsDuringATakeoverEachMessageIsHandled(t *testing.T) {
	for _, fault := range []brokertest.Fault{
		{Method: "Heartbeat", Times: 3},
		{Method: "TakeOver", Times: 2},
		{Method: "TakeOver", Nth: 3, ReplyLost: true},
		{Method: "Attempt", Nth: 2, ReplyLost: true},
	} {
		t.Run(fmt.Sprintf("%s %t", fault.Method, fault.ReplyLost), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				left := numbered("a", 10)
				b.publish(left...)
				b.stranger("dead", 10)
				b.broker.Inject(fault)
				b.run(config(), succeed)
				b.pass(10 * claimIdle)
				require.ElementsMatch(t, left, b.ids(), "each once")
				require.Zero(t, b.pending())
			})
		})
	}
}

func TestAConsumerThatCannotBeDeletedIsNoFailureOfAStop(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.broker.Inject(brokertest.Fault{Method: "Leave", Times: -1})
		b.run(config(), succeed)
		b.pass(time.Second)
		require.NoError(t, b.halt())
	})
}
