package subscription_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// withBreaker is a subscription whose circuit breaker opens at the third failing
// message, for a minute.
func withBreaker() subscription.Config {
	c := config()
	c.BreakerThreshold = 3
	return c
}

// transitions are how often the breaker opened, became half open and closed.
func (b *bench) transitions() [3]int64 {
	return transitionsOf(subscription.Metrics([]*subscription.Runner{b.runner}))
}

func transitionsOf(metrics []metricdata.Metrics) (found [3]int64) {
	for _, m := range metrics {
		if m.Name != "protean.subscription.circuit_breaker.state" {
			continue
		}
		for _, p := range points(m.Data) {
			state, _ := p.Attributes.Value(attribute.Key("state"))
			for i, s := range []string{"opened", "half_open", "closed"} {
				if state.AsString() == s {
					found[i] = p.Value
				}
			}
		}
	}
	return found
}

func (b *bench) isOpen() bool {
	b.t.Helper()
	return b.count("protean.subscription.circuit_open", "") == 1
}

// A poison message is one message, however often it is attempted (L53).
func TestAttemptsOfOneMessageOpenNoCircuitBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := withBreaker()
		c.Retry.MaxAttempts = 10
		b.publish("bad/1", "bad/2")
		b.run(c, failing(isBad))
		b.pass(30 * time.Second)
		require.Len(t, b.deadLetters(), 2)
		require.False(t, b.isOpen())
		require.Equal(t, [3]int64{}, b.transitions())
	})
}

func failing(fails func(*message.Envelope) bool) handler.Func {
	return func(_ context.Context, m *message.Envelope) error {
		if fails(m) {
			return errBroken
		}
		return nil
	}
}

// In the original the rest of a batch is called all the same (L53).
func TestNothingIsCalledOnceSoManyMessagesInARowHaveFailed(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := withBreaker()
				c.Concurrency = n
				var broken atomic.Bool
				broken.Store(true)
				for i := range 30 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(c, func(ctx context.Context, m *message.Envelope) error {
					time.Sleep(time.Millisecond)
					return failing(func(*message.Envelope) bool { return broken.Load() })(ctx, m)
				})
				b.pass(59 * time.Second)
				called := len(b.called())
				require.GreaterOrEqual(t, called, 3)
				require.LessOrEqual(t, called, 3+n-1, "those under way")
				require.True(t, b.isOpen())
				require.Equal(t, []subscription.GateReason{subscription.CircuitOpen}, b.runner.Status().Gate)
				require.Equal(t, [3]int64{1, 0, 0}, b.transitions())
				require.LessOrEqual(t, b.pending(), 20, "reading pauses")
				require.Empty(t, b.deadLetters())

				b.pass(5 * time.Second)
				require.Len(t, b.called(), called+1, "one is tried")
				require.Equal(t, [3]int64{2, 1, 0}, b.transitions())

				broken.Store(false)
				b.pass(time.Minute)
				require.False(t, b.isOpen())
				require.Equal(t, [3]int64{2, 2, 1}, b.transitions())
				require.Empty(t, b.runner.Status().Gate)
				require.EqualValues(t, 30, b.count("protean.subscription.messages_processed", "ok"))
				require.Zero(t, b.pending())
				require.Equal(t, 1, strings.Count(b.log.String(), "circuit breaker is closed"))
			})
		})
	}
}

// In the original what failed is tried again and again, since it is read first (L53).
func TestAnOpenCircuitBreakerTriesAMessageThatHasNotFailed(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := withBreaker()
				c.Concurrency = n
				c.Retry.MaxAttempts = 5
				b.publish("bad1/1", "bad2/1", "bad3/1")
				b.run(c, failing(isBad))
				b.pass(30 * time.Second)
				require.True(t, b.isOpen())
				b.publish("good/1")                               // not read yet
				b.broker.Inject(brokertest.Fault{Method: "Read"}) // so that it comes after what is in hand
				b.pass(31 * time.Second)
				require.Equal(t, "good/1", b.ids()[3])
				require.Equal(t, [3]int64{2, 1, 1}, b.transitions(), "it closed, and those that failed opened it again")
				require.Len(t, b.ids(), 3+1+3)
			})
		})
	}
}

func TestACircuitBreakerThatHasOnlyWhatFailedTriesTheLongestAgo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := withBreaker()
		c.Retry.MaxAttempts = 10
		b.publish("bad1/1", "bad2/1", "bad3/1")
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(time.Millisecond)
			return errBroken
		})
		b.pass(5 * time.Minute)
		require.Equal(t, []string{"bad1/1", "bad2/1", "bad3/1", "bad1/1", "bad2/1", "bad3/1", "bad1/1"}, b.ids()[:7])
		require.Len(t, b.ids(), 7, "one a minute")
	})
}

func TestASuccessBreaksTheRowOfFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("bad1/1", "bad2/1", "good/1", "bad3/1", "bad4/1")
		b.run(withBreaker(), failing(isBad))
		b.pass(50 * time.Millisecond)
		require.False(t, b.isOpen())
		b.pass(time.Second) // their second attempts
		require.True(t, b.isOpen(), "no other was handled since")
	})
}

func TestRejectionsCountAndWhatReachesNoHandlerDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		open bool
	}{
		"rejected":        {handler.Reject(errBroken), true},
		"not called":      {handler.RejectUncalled(errBroken), false},
		"postponed":       {handler.RetryAfter(time.Hour), false},
		"the target down": {handler.Unreachable(errBroken), false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.publish("a/1", "b/1", "c/1", "d/1")
				b.run(withBreaker(), func(context.Context, *message.Envelope) error { return c.err })
				b.pass(time.Second)
				require.Equal(t, c.open, b.isOpen())
			})
		})
	}
}

// Its outcome says nothing of how the handler is now.
func TestACallFromBeforeTheCircuitBreakerOpenedDoesNotCloseIt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := withBreaker()
		c.Concurrency = 4
		b.publish("slow/1", "bad1/1", "bad2/1", "bad3/1")
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if isBad(m) {
				return errBroken
			}
			time.Sleep(30 * time.Second)
			return nil
		})
		b.pass(40 * time.Second)
		require.True(t, b.isOpen())
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestAStopWhileTheCircuitBreakerIsOpenIsPromptAndReleasesAll(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Second, 60500 * time.Millisecond} { // open, half open
		t.Run(after.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.publish("bad1/1", "bad2/1", "bad3/1")
				b.run(withBreaker(), failing(isBad))
				b.pass(after)
				require.True(t, b.isOpen())
				stopped := time.Now()
				require.NoError(t, b.halt())
				require.Less(t, time.Since(stopped), 1100*time.Millisecond, "a read under way")
				require.Equal(t, 3, b.pending())
				b.run(config(), succeed)
				b.pass(2 * time.Second)
				require.Zero(t, b.pending(), "released")
			})
		})
	}
}

func TestWhatIsInHandIsRenewedWhileTheCircuitBreakerIsOpen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := withBreaker()
		c.BreakerReset = time.Hour
		b.publish("bad1/1", "bad2/1", "bad3/1", "good/1")
		b.run(c, failing(isBad))
		b.broker.Inject(brokertest.Fault{Method: "Renew", Nth: 29, ReplyLost: true})
		b.pass(10 * time.Minute)
		require.Contains(t, b.log.String(), "cannot renew", "the 29th time, of every third of claim_idle_seconds")
		require.Zero(t, b.count("protean.subscription.entries_lost", ""))
		require.Equal(t, 4, b.pending())
	})
}

// One that is down and one that fails are two reasons, each with an end of its own.
func TestACircuitBreakerOpensAndClosesBesideAnOutage(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := withBreaker()
				c.Concurrency = n
				c.Retry.MaxAttempts = 10
				began := time.Now()
				for i := range 30 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(c, func(context.Context, *message.Envelope) error {
					switch since := time.Since(began); {
					case since < 30*time.Second:
						return errBroken
					case since < 90*time.Second:
						return handler.Unreachable(errBroken)
					}
					return nil
				})
				b.pass(59 * time.Second)
				require.Equal(t, []subscription.GateReason{subscription.CircuitOpen}, b.runner.Status().Gate)
				b.pass(20 * time.Second)
				require.Equal(t, []subscription.GateReason{subscription.TargetDown, subscription.CircuitOpen}, b.runner.Status().Gate)
				b.pass(time.Minute)
				require.Empty(t, b.runner.Status().Gate)
				require.EqualValues(t, 30, b.count("protean.subscription.messages_processed", "ok"))
				require.Empty(t, b.deadLetters())
			})
		})
	}
}

// The bodies of all that is held up would starve the other subscriptions of the
// budget that they share.
func TestAnOpenCircuitBreakerHoldsNoBodies(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.budget = subscription.NewBudget(1 << 20)
		for i := range 30 {
			b.publish(fmt.Sprintf("bad%d/1", i))
		}
		b.run(withBreaker(), failing(isBad))
		require.Positive(t, b.budget.Used())
		b.pass(10 * time.Second)
		require.True(t, b.isOpen())
		require.Zero(t, b.budget.Used())
	})
}

func TestAnEventStoreSubscriptionHasACircuitBreakerToo(t *testing.T) {
	inBubbleOver(t, newStoreKind, func(t *testing.T, b *bench) {
		var broken atomic.Bool
		broken.Store(true)
		c := withBreaker()
		c.DeadLetters = false
		for i := range 30 {
			b.publish(fmt.Sprintf("m%d/1", i))
		}
		b.run(c, failing(func(*message.Envelope) bool { return broken.Load() }))
		b.pass(59 * time.Second)
		require.Len(t, b.called(), 3)
		require.True(t, b.isOpen())
		broken.Store(false)
		b.pass(10 * time.Second)
		require.False(t, b.isOpen())
		require.EqualValues(t, 30, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.kind.unfinished(b))
	})
}

func TestAMeterProviderCountsTheTransitionsOfACircuitBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		reader := sdkmetric.NewManualReader()
		b.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(subscription.Scope)
		c := withBreaker()
		c.BreakerThreshold = 1
		b.publish("bad1/1")
		b.run(c, failing(isBad))
		b.pass(90 * time.Second)
		var rm metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &rm))
		require.Equal(t, [3]int64{2, 1, 0}, transitionsOf(rm.ScopeMetrics[0].Metrics))
		require.EqualValues(t, 1, count(t, rm.ScopeMetrics[0].Metrics, "protean.subscription.circuit_open", ""))
	})
}

func TestWithoutACircuitBreakerItHasNoSeries(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("bad1/1", "bad2/1", "bad3/1", "bad4/1")
		b.run(config(), failing(isBad))
		b.pass(10 * time.Second)
		require.Len(t, b.deadLetters(), 4)
		for _, m := range subscription.Metrics([]*subscription.Runner{b.runner}) {
			require.NotContains(t, m.Name, "circuit")
			for _, p := range points(m.Data) {
				reason, _ := p.Attributes.Value("reason")
				require.NotEqual(t, "circuit_open", reason.AsString())
			}
		}
	})
}

func TestTheSettingsOfACircuitBreakerAreChecked(t *testing.T) {
	t.Parallel()
	c := config()
	c.BreakerThreshold, c.BreakerReset = -1, -time.Second
	err := c.Validate()
	require.ErrorContains(t, err, "BreakerThreshold must not be negative, got -1")
	require.ErrorContains(t, err, "BreakerReset must be positive, got -1s")
	require.Equal(t, time.Minute, subscription.Config{}.WithDefaults().BreakerReset)
}
