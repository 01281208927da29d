package subscription_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
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

// slowLink is a broker behind a link on which a reply of more than so many
// entries does not arrive before the socket time-out. What it delivered is
// pending all the same.
type slowLink struct {
	consumergroup.Broker
	entries int
}

func (l *slowLink) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	joined, err := l.Broker.Join(ctx, m)
	return &slowMembership{joined, l}, err
}

type slowMembership struct {
	consumergroup.Membership
	link *slowLink
}

func (m *slowMembership) arrived(got []message.Delivery, err error) ([]message.Delivery, error) {
	if err == nil && len(got) > m.link.entries {
		return nil, os.ErrDeadlineExceeded // a net.Error that is a time-out
	}
	return got, err
}

func (m *slowMembership) Read(ctx context.Context, r consumergroup.Read) ([]message.Delivery, bool, error) {
	got, acked, err := m.Membership.Read(ctx, r)
	got, late := m.arrived(got, err)
	return got, acked && late == nil, late
}

func (m *slowMembership) Pending(ctx context.Context, l consumergroup.List) ([]message.Delivery, string, error) {
	got, next, err := m.Membership.Pending(ctx, l)
	if !l.IDsOnly {
		got, err = m.arrived(got, err)
	}
	return got, next, err
}

func (m *slowMembership) ClaimReleased(ctx context.Context, max int) ([]message.Delivery, bool, error) {
	got, more, err := m.Membership.ClaimReleased(ctx, max)
	got, err = m.arrived(got, err)
	return got, more, err
}

func (m *slowMembership) TakeOver(ctx context.Context, from consumergroup.Consumer, idle time.Duration) ([]message.Delivery, error) {
	got, err := m.Membership.TakeOver(ctx, from, idle)
	return m.arrived(got, err)
}

func (m *slowMembership) Bodies(ctx context.Context, ids []string) ([]message.Delivery, error) {
	got, err := m.Membership.Bodies(ctx, ids)
	return m.arrived(got, err)
}

func newSlowKind(entries int) kind {
	broker := brokertest.NewFlaky(memorybroker.New())
	return groupKind{broker: broker, link: &slowLink{broker, entries}}
}

func TestABatchThatIsTooLargeForTheLinkIsReadInSmallerParts(t *testing.T) {
	inBubbleOver(t, func() kind { return newSlowKind(12) }, func(t *testing.T, b *bench) {
		c := config()
		c.MessagesPerTick = 100
		c.Order = subscription.OrderNone
		var want []string
		for i := range 1000 {
			want = append(want, fmt.Sprintf("a/%d", i))
		}
		b.publish(want...)
		b.run(c, succeed)
		b.pass(5 * time.Minute)
		require.ElementsMatch(t, want, b.ids(), "each once")
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestAStopReleasesWhatTheLinkIsTooSlowFor(t *testing.T) {
	inBubbleOver(t, func() kind { return newSlowKind(4) }, func(t *testing.T, b *bench) {
		for i := range 10 {
			b.publish(fmt.Sprintf("a%d/1", i))
		}
		b.run(config(), succeed) // the reply of the first read is too large
		require.NoError(t, b.halt())
		require.Empty(t, b.ids())
		require.Equal(t, 10, b.pending())
		b.kind.(groupKind).link.(*slowLink).entries = 1000
		b.run(config(), succeed)
		b.pass(5 * time.Second)
		require.Len(t, b.ids(), 10, "claimed at once")
	})
}

func TestBodiesAreReadAgainInSmallerPartsToo(t *testing.T) {
	inBubbleOver(t, func() kind { return newSlowKind(4) }, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(2_000) // a few of those that wait keep their bodies
		c := config()
		c.MessagesPerTick, c.Order = 10, subscription.OrderNone
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprintf("a/%d", i))
		}
		b.publish(want...)
		began := time.Now()
		var handled atomic.Int64
		b.run(c, func(context.Context, *message.Envelope) error {
			if time.Since(began) < time.Hour {
				return handler.RetryAfter(time.Hour - time.Since(began)) // all are due at once
			}
			handled.Add(1)
			return nil
		})
		b.pass(3 * time.Hour)
		require.EqualValues(t, 50, handled.Load())
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestWhatWasReleasedIsClaimedInSmallerPartsToo(t *testing.T) {
	inBubbleOver(t, func() kind { return newSlowKind(12) }, func(t *testing.T, b *bench) {
		ctx := context.Background()
		former, err := b.broker.Join(ctx, consumergroup.Member{Stream: stream, Group: group, Consumer: "former"})
		require.NoError(t, err)
		var want []string
		for i := range 300 {
			want = append(want, fmt.Sprintf("a/%d", i))
		}
		b.publish(want...)
		got, _, err := former.Read(ctx, consumergroup.Read{Max: 300})
		require.NoError(t, err)
		var entries []consumergroup.Entry
		for _, d := range got {
			entries = append(entries, consumergroup.Entry{ID: d.ID})
		}
		_, err = former.Release(ctx, entries)
		require.NoError(t, err)
		c := config()
		c.MessagesPerTick = 100
		b.run(c, succeed)
		b.pass(5 * time.Minute)
		require.ElementsMatch(t, want, b.ids())
		require.Zero(t, b.kind.unfinished(b))
	})
}

// large is an event of about 10 kB.
func large(t *testing.T, id string) string {
	t.Helper()
	return text(t, id, fmt.Sprintf(`{"pad": %q}`, strings.Repeat("x", 10_000)))
}

func TestBytesInFlightAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(200_000)
		var most int64
		c := config()
		c.MessagesPerTick, c.Concurrency, c.Order = 100, 4, subscription.OrderNone
		for i := range 500 {
			b.publishText(large(t, fmt.Sprintf("s%d/1", i)))
		}
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(10 * time.Millisecond)
			b.mu.Lock()
			most = max(most, b.budget.Used())
			b.mu.Unlock()
			return nil
		})
		b.pass(time.Minute)
		require.Len(t, b.ids(), 500)
		require.LessOrEqual(t, most, int64(200_000+2*100_000), "the first read, whose size is not known, takes ten")
		require.Positive(t, most)
		require.Zero(t, b.budget.Used(), "all is given back")
	})
}

func TestAMessageLargerThanTheBudgetPasses(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(5_000)
		b.run(config(), succeed)
		for i := range 30 {
			b.publishText(large(t, fmt.Sprintf("s%d/1", i)))
		}
		b.pass(time.Minute)
		require.Len(t, b.ids(), 30)
		require.Zero(t, b.budget.Used())
	})
}

func TestMessagesThatWaitLongNeedNoMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(200_000)
		c := config()
		c.MessagesPerTick = 10
		var data []string
		for i := range 90 {
			b.publishText(large(t, fmt.Sprintf("s%d/1", i)))
		}
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if b.nth(m) == 1 {
				return handler.RetryAfter(time.Hour)
			}
			data = append(data, string(m.Data))
			return nil
		})
		b.pass(30 * time.Minute)
		require.Len(t, b.ids(), 90, "all were tried, though they do not fit into the budget")
		require.LessOrEqual(t, b.budget.Used(), int64(200_000))
		b.pass(time.Hour)
		require.Len(t, data, 90)
		require.Contains(t, data[89], strings.Repeat("x", 10_000), "the body was read again")
		require.Zero(t, b.pending())
		require.Zero(t, b.budget.Used())
	})
}

func TestAMessageWhoseBodyCannotBeReadAgainYetWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(1)
		b.publish("a/1")
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if b.nth(m) == 1 {
				return handler.RetryAfter(time.Hour)
			}
			return nil
		})
		b.pass(time.Minute)
		b.broker.Inject(brokertest.Fault{Method: "Bodies", Times: 3})
		require.Equal(t, 1, b.pending())
		b.pass(2 * time.Hour)
		require.Len(t, b.ids(), 2, "called again, once the body could be read")
	})
}

func TestWhatQueuesBehindAWaitingMessageNeedsNoMemory(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.budget = subscription.NewBudget(200_000)
				c := config()
				c.Concurrency = n
				var hot []string
				for i := range 80 {
					hot = append(hot, fmt.Sprintf("hot/%d", i))
					b.publishText(large(t, hot[i]))
				}
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if m.Metadata.Headers.ID == "hot/0" && b.nth(m) == 1 {
						return handler.RetryAfter(time.Hour)
					}
					return nil
				})
				for i := range 50 {
					b.publishText(large(t, fmt.Sprintf("s%d/1", i)))
				}
				b.pass(30 * time.Minute)
				require.Len(t, b.ids(), 51, "the first of the hot key, and all of the other keys")
				require.LessOrEqual(t, b.budget.Used(), int64(200_000))
				b.pass(time.Hour)
				require.Len(t, b.ids(), 131)
				require.Equal(t, hot, b.ids()[51:], "in order, read again")
				require.Zero(t, b.pending())
				require.Zero(t, b.budget.Used())
			})
		})
	}
}

func TestOneAggregateThatWaitsDoesNotThrottleTheOtherSubscriptions(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(1_200_000) // which it just fits into
		for i := range 200 {                         // more than may be in flight
			b.publishText(large(t, fmt.Sprintf("hot/%d", i)))
		}
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.RetryAfter(time.Hour) })
		b.pass(time.Minute)
		require.Greater(t, b.budget.Used(), int64(900_000))
		other := &bench{t: t, kind: newGroupKind(), budget: b.budget}
		defer func() { require.NoError(t, other.kind.(groupKind).broker.Close(context.Background())) }()
		for i := range 200 {
			other.publishText(large(t, fmt.Sprintf("s%d/1", i)))
		}
		other.run(config(), succeed)
		other.pass(time.Second)
		require.Less(t, b.budget.Used(), int64(300_000), "what queues behind the first needs no memory any more")
		require.Len(t, other.ids(), 200)
		require.NoError(t, other.halt())
	})
}

func TestAStopGivesTheBudgetBackForWhatItDidNotFinish(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(0)
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.RetryAfter(time.Hour) })
		for i := range 20 {
			b.publishText(large(t, fmt.Sprintf("s%d/1", i)))
		}
		b.pass(time.Minute)
		require.Positive(t, b.budget.Used())
		require.NoError(t, b.halt())
		require.Zero(t, b.budget.Used())
	})
}

func TestWhatATargetThatIsDownHoldsUpNeedsNoMemory(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.budget = subscription.NewBudget(0)
				c := config()
				c.Concurrency = n
				var up atomic.Bool
				var whole atomic.Int64
				for i := range 30 {
					b.publishText(large(t, fmt.Sprintf("s%d/%d", i%10, i/10)))
				}
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if !up.Load() {
						return handler.Unavailable(errBroken)
					}
					if strings.Contains(string(m.Data), strings.Repeat("x", 10_000)) {
						whole.Add(1)
					}
					return nil
				})
				b.pass(3 * time.Minute)
				require.LessOrEqual(t, b.budget.Used(), int64(12*10_500), "a batch that was read ahead, and what is tried now")
				up.Store(true)
				b.pass(time.Minute)
				require.EqualValues(t, 30, whole.Load(), "each once, its body read again")
				for i := range 10 {
					requireInOrder(t, b.ids(), fmt.Sprintf("s%d", i), 3)
				}
				require.Zero(t, b.pending())
				require.Zero(t, b.budget.Used())
			})
		})
	}
}

func TestATargetThatIsDownHoldsUpAFewMessagesOnly(t *testing.T) {
	for name, key := range map[string]func(i int) string{
		"of one key":  func(i int) string { return fmt.Sprintf("hot/%d", i) },
		"of many":     func(i int) string { return fmt.Sprintf("s%d/1", i) },
		"interleaved": func(i int) string { return fmt.Sprintf("s%d/%d", i%2, i/2) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.budget = subscription.NewBudget(0)
				c := config()
				c.MessagesPerTick = 10
				for i := range 200 {
					b.publishText(large(t, key(i)))
				}
				var up atomic.Bool
				b.run(c, func(context.Context, *message.Envelope) error {
					if !up.Load() {
						return handler.Unreachable(errBroken)
					}
					return nil
				})
				b.pass(3 * time.Hour)
				require.Equal(t, 20, b.pending(), "no batch is read ahead")
				require.LessOrEqual(t, b.budget.Used(), int64(2*10_500), "bodies")
				up.Store(true)
				b.pass(time.Minute)
				require.Zero(t, b.pending())
				require.EqualValues(t, 200, b.count("protean.subscription.messages_processed", "ok"))
			})
		})
	}
}
