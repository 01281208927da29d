package subscription_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// pauses is where pauses are kept, and fails on demand.
type pauses struct {
	*memorybroker.Broker

	mu  sync.Mutex
	err error
}

func (p *pauses) PauseStates(ctx context.Context, of []subscription.Identity) (map[subscription.Identity]subscription.PauseState, error) {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	states, err := p.Broker.PauseStates(ctx, of)
	for id, s := range states { // as decoding makes a zone anew
		s.At = s.At.In(time.FixedZone("", 3600))
		states[id] = s
	}
	return states, err
}

func (p *pauses) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *pauses) say(t *testing.T, paused bool, by, reason string) {
	t.Helper()
	of := subscription.Identity{Stream: stream, Group: group}
	s := subscription.PauseState{Paused: paused, By: by, At: time.Now(), Reason: reason}
	require.NoError(t, p.SetPause(context.Background(), of, s))
}

// withPauses lets the bench's subscription be paused.
func withPauses(t *testing.T, test func(t *testing.T, b *bench, p *pauses)) {
	t.Helper()
	inBubble(t, func(t *testing.T, b *bench) {
		p := &pauses{Broker: b.broker.Broker.(*memorybroker.Broker)}
		b.pauses = p
		test(t, b, p)
	})
}

func slowOrder(ctx context.Context, m *message.Envelope) error {
	time.Sleep(700 * time.Millisecond)
	return failing(isBad)(ctx, m)
}

func TestAPausedSubscriptionFinishesWhatIsUnderWayAndNothingElse(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			withPauses(t, func(t *testing.T, b *bench, p *pauses) {
				c := config()
				c.Concurrency = n
				for i := range 50 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(c, slowOrder)
				p.say(t, true, "ann@ops", "the warehouse moves")
				b.pass(2 * time.Second)
				called := len(b.called())
				require.LessOrEqual(t, called, 3*n)
				require.Equal(t, []subscription.GateReason{subscription.Paused}, b.runner.Status().Gate)
				require.Equal(t, "ann@ops", b.runner.Status().Pause.By)
				b.pass(time.Hour)
				require.Len(t, b.called(), called)
				require.EqualValues(t, called, b.count("protean.subscription.messages_processed", "ok"), "what was under way is handled")
				require.LessOrEqual(t, b.pending(), 20, "nothing is read")
				require.Zero(t, b.count("protean.subscription.entries_lost", ""), "what is in hand is renewed")
				require.Equal(t, 1, strings.Count(b.log.String(), "subscription is paused"))
				require.Contains(t, b.log.String(), "ann@ops")
				require.Contains(t, b.log.String(), "the warehouse moves")

				p.say(t, false, "ben@ops", "moved")
				b.pass(40 * time.Second)
				require.EqualValues(t, 50, b.count("protean.subscription.messages_processed", "ok"))
				require.Empty(t, b.runner.Status().Gate)
				require.Zero(t, b.pending())
				require.Regexp(t, `subscription is resumed.*ben@ops`, b.log.String())
			})
		})
	}
}

func TestWhatWaitsForItsAttemptWaitsOnWhileASubscriptionIsPaused(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		b.publish("bad/1")
		b.run(config(), failing(isBad))
		p.say(t, true, "ann", "")
		b.pass(time.Hour)
		before := len(b.called())
		require.Less(t, before, 3)
		require.Empty(t, b.deadLetters())
		p.say(t, false, "ann", "")
		b.pass(10 * time.Second)
		require.Len(t, b.called(), 3, "each attempt is made once")
		require.Len(t, b.deadLetters(), 1)
	})
}

func TestAPauseHoldsAcrossARestart(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		b.run(config(), succeed)
		b.pass(time.Second)
		p.say(t, true, "ann", "")
		b.pass(2 * time.Second)
		require.NoError(t, b.halt())
		b.publish("a/1", "b/1")
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.Empty(t, b.called())
		require.Equal(t, 2, int(b.figures().lag), "nothing is read")
		stopped := time.Now()
		require.NoError(t, b.halt())
		require.Less(t, time.Since(stopped), time.Second)
		b.run(config(), succeed)
		p.say(t, false, "ann", "")
		b.pass(2 * time.Second)
		require.Len(t, b.called(), 2)
	})
}

func TestAllReplicasArePausedWithinTwoSeconds(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		other := &bench{t: t, kind: b.kind, broker: b.broker, pauses: p}
		defer func() { require.NoError(t, other.halt()) }()
		b.run(config(), succeed)
		other.run(config(), succeed)
		b.pass(1500 * time.Millisecond)
		p.say(t, true, "ann", "")
		b.pass(2 * time.Second)
		for i := range 40 {
			b.publish(fmt.Sprintf("m%d/1", i))
		}
		b.pass(time.Minute)
		require.Empty(t, b.called())
		require.Empty(t, other.called())
		p.say(t, false, "ann", "")
		b.pass(2 * time.Second)
		require.Len(t, append(b.called(), other.called()...), 40)
	})
}

func TestTheLastKnownPauseHoldsWhileTheServerIsGone(t *testing.T) {
	for _, paused := range []bool{true, false} {
		t.Run(fmt.Sprint(paused), func(t *testing.T) {
			withPauses(t, func(t *testing.T, b *bench, p *pauses) {
				p.say(t, paused, "ann", "")
				b.run(config(), succeed)
				b.pass(time.Second)
				p.fail(errBroken)
				b.publish("a/1")
				b.pass(10 * time.Minute)
				require.Equal(t, paused, len(b.called()) == 0)
				require.Equal(t, 1, strings.Count(b.log.String(), "cannot read which subscriptions are paused"))
				p.fail(nil)
				b.pass(2 * time.Second)
				require.Contains(t, b.log.String(), "reading which subscriptions are paused again")
				require.LessOrEqual(t, strings.Count(b.log.String(), "subscription is paused"), 1)
			})
		})
	}
}

func TestASubscriptionOfWhichNothingIsKnownWaits(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		p.fail(errBroken)
		b.publish("a/1")
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.Empty(t, b.called(), "it may be paused")
		p.fail(nil)
		b.pass(2 * time.Second)
		require.Len(t, b.called(), 1)
	})
}

func TestASubscriptionRunsWhereThePausesMustNotBeRead(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		p.fail(fmt.Errorf("%w: NOPERM", subscription.ErrNoPauses))
		b.publish("a/1")
		b.run(config(), succeed)
		b.pass(time.Minute)
		require.Len(t, b.called(), 1)
		require.Equal(t, 1, strings.Count(b.log.String(), "must not read which subscriptions are paused"))
	})
}

// Each reason has an end of its own.
func TestAPausedSubscriptionTriesNothingWhileItIsHeldUpForMore(t *testing.T) {
	for name, down := range map[string]error{"target down": handler.Unreachable(errBroken), "circuit open": errBroken} {
		t.Run(name, func(t *testing.T) {
			withPauses(t, func(t *testing.T, b *bench, p *pauses) {
				c := withBreaker()
				c.Retry.MaxAttempts = 100
				up := false
				b.publish("a/1", "b/1", "c/1", "d/1")
				b.run(c, func(context.Context, *message.Envelope) error {
					if up {
						return nil
					}
					return down
				})
				b.pass(10 * time.Second)
				require.Len(t, b.runner.Status().Gate, 1)
				p.say(t, true, "ann", "")
				b.pass(2 * time.Second)
				require.Len(t, b.runner.Status().Gate, 2)
				tried := len(b.called())
				b.pass(time.Hour)
				require.Len(t, b.called(), tried)
				up = true
				p.say(t, false, "ann", "")
				b.pass(2 * time.Minute)
				require.Empty(t, b.runner.Status().Gate)
				require.EqualValues(t, 4, b.count("protean.subscription.messages_processed", "ok"))
			})
		})
	}
}

func TestAPausedSubscriptionHoldsNoBodies(t *testing.T) {
	withPauses(t, func(t *testing.T, b *bench, p *pauses) {
		b.budget = subscription.NewBudget(1 << 20)
		for i := range 50 {
			b.publish(fmt.Sprintf("m%d/1", i))
		}
		b.run(config(), slowOrder)
		p.say(t, true, "ann", "")
		b.pass(10 * time.Second)
		require.Positive(t, b.pending())
		require.Zero(t, b.budget.Used())
	})
}

func TestAnEventStoreSubscriptionIsPausedToo(t *testing.T) {
	inBubbleOver(t, newStoreKind, func(t *testing.T, b *bench) {
		store := b.kind.(storeKind).store
		b.pauses = store
		c := config()
		c.DeadLetters = false
		say := func(paused bool) {
			of := subscription.Identity{Stream: c.Stream, Group: c.WithDefaults().Group}
			require.NoError(t, store.SetPause(context.Background(), of, subscription.PauseState{Paused: paused, By: "ann"}))
		}
		say(true)
		b.publish("a/1", "b/1")
		b.run(c, succeed)
		b.pass(time.Minute)
		require.Empty(t, b.called())
		say(false)
		b.pass(2 * time.Second)
		require.Len(t, b.called(), 2)
	})
}
