package subscription_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

func TestASlowCallDoesNotKeepAnOutageAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency = 4
		began := time.Now()
		b.publish("slow/1", "a/1", "b/1", "c/1", "d/1", "e/1")
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if since := time.Since(began); m.Metadata.Headers.ID != "slow/1" && since < time.Second {
				return handler.Unavailable(errBroken)
			}
			return slowly(ctx, m) // slow/1 takes a minute
		})
		b.pass(10 * time.Second)
		require.EqualValues(t, 5, b.count("protean.subscription.messages_processed", "ok"), "all but the slow one")
		require.Empty(t, b.runner.Status().Gate)
	})
}

func TestADeadLetterThatCannotBeWrittenHoldsUpItsOwnKeyOnly(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				clear := b.broker.Inject(brokertest.Fault{Method: "DeadLetter", Times: -1})
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					if m.Metadata.Headers.ID == "bad/1" {
						return handler.Reject(errBroken)
					}
					return nil
				})
				b.publish("bad/1")
				b.pass(time.Second)
				b.publish("bad/2", "a/1", "b/1")
				b.pass(time.Minute)
				require.ElementsMatch(t, []string{"bad/1", "a/1", "b/1"}, b.ids())
				require.Equal(t, 1, b.runner.Status().DeadLettersWaiting)
				require.EqualValues(t, 1, b.count("protean.subscription.dead_letters_waiting", ""))
				clear()
				b.pass(time.Minute)
				require.Equal(t, "bad/2", b.ids()[3])
				require.Len(t, b.deadLetters(), 1)
				require.Zero(t, b.runner.Status().DeadLettersWaiting)
				require.Zero(t, b.pending())
			})
		})
	}
}

func TestAStopDoesNotWaitForADeadLetterThatIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.broker.Inject(brokertest.Fault{Method: "DeadLetter", Times: -1})
		b.run(config(), func(context.Context, *message.Envelope) error { return handler.Reject(errBroken) })
		b.publish("a/1", "b/1")
		b.pass(time.Minute)
		stopped := time.Now()
		require.NoError(t, b.halt())
		require.Less(t, time.Since(stopped), time.Second)
		require.Equal(t, 2, b.pending(), "released")
	})
}

func TestAHotKeyIsHandledInOrderBesideTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.MessagesPerTick = 16, 500
		var want []string
		for i := range 600 {
			want = append(want, fmt.Sprintf("hot/%d", i))
			if i%100 == 0 {
				b.publish(fmt.Sprintf("cold%d/1", i))
			}
			b.publish(want[i])
		}
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if strings.HasSuffix(m.Metadata.Headers.ID, "7") && m.Source.Attempt == 1 {
				return errBroken
			}
			return nil
		})
		b.pass(10 * time.Minute)
		requireInOrder(t, b.ids(), "hot", 600)
		require.Zero(t, b.pending())
		require.EqualValues(t, 606, b.count("protean.subscription.messages_processed", "ok"))
	})
}

func TestACallsContextEndsWithTheCall(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout = 5 * time.Second
		var kept []context.Context
		b.run(c, func(ctx context.Context, _ *message.Envelope) error {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, 5*time.Second, time.Until(deadline))
			require.NoError(t, ctx.Err())
			kept = append(kept, ctx)
			if len(kept) == 1 {
				return errBroken
			}
			return nil
		})
		b.publish("a/1")
		b.pass(10 * time.Second)
		require.Len(t, kept, 2)
		for _, ctx := range kept {
			<-ctx.Done()
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			require.ErrorIs(t, context.Cause(ctx), context.Canceled)
		}
	})
}

func TestACallsContextSaysWhyItEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout, c.Retry.MaxAttempts = 5*time.Second, 1
		causes := make(map[string]error)
		b.run(c, func(ctx context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "polls/1" {
				for ctx.Err() == nil {
					time.Sleep(time.Second)
				}
			} else {
				<-ctx.Done()
			}
			causes[m.Metadata.Headers.ID] = context.Cause(ctx)
			return ctx.Err()
		})
		b.publish("waits/1", "polls/1")
		b.pass(20 * time.Second)
		require.ErrorIs(t, causes["waits/1"], subscription.ErrHandlerTimeout)
		require.ErrorIs(t, causes["polls/1"], subscription.ErrHandlerTimeout)
		b.publish("stopped/1")
		b.pass(time.Second)
		b.stop()
		b.endWork()
		b.pass(time.Millisecond)
		require.ErrorIs(t, causes["stopped/1"], context.Canceled)
	})
}

func TestACallThatRunsBeyondItsTimeoutShowsAsStuck(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.HandlerTimeout = 5 * time.Second
		b.publish("slow/1")
		b.run(c, slowly) // a minute, whatever its context says
		b.pass(5500 * time.Millisecond)
		require.Zero(t, b.runner.Status().StuckCalls, "it may take a moment to return")
		b.pass(2 * time.Second)
		require.Equal(t, 1, b.runner.Status().StuckCalls)
		b.pass(time.Minute)
		require.Zero(t, b.runner.Status().StuckCalls)
		require.Zero(t, b.pending(), "and its entry is acknowledged all the same")
	})
}

// application crashes over one message, and is back at once: all calls that are
// under way at that moment are cut off.
type application struct {
	mu    sync.Mutex
	crash chan struct{}
}

func (a *application) call(m *message.Envelope, bad string) error {
	a.mu.Lock()
	crash := a.crash
	a.mu.Unlock()
	if m.Metadata.Headers.ID == bad {
		time.Sleep(500 * time.Millisecond)
		a.mu.Lock()
		defer a.mu.Unlock()
		close(a.crash)
		a.crash = make(chan struct{})
		return handler.Interrupted(errBroken)
	}
	select {
	case <-crash:
		return handler.Interrupted(errBroken)
	case <-time.After(time.Second):
		return nil
	}
}

func TestAMessageOverWhichTheTargetCrashesTakesNoOtherWithIt(t *testing.T) {
	for _, n := range []int{1, 4, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency, c.MessagesPerTick = n, 16
				app := &application{crash: make(chan struct{})}
				for i := range 32 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(c, func(_ context.Context, m *message.Envelope) error { return app.call(m, "m5/1") })
				b.pass(30 * time.Minute)
				dead := b.deadLetters()
				require.Len(t, dead, 1)
				require.Equal(t, "m5/1", dead[0].Metadata.Headers.ID)
				require.EqualValues(t, 31, b.count("protean.subscription.messages_processed", "ok"))
				require.Zero(t, b.pending())
			})
		})
	}
}

// A proxy before an application that is being deployed accepts, and closes.
func TestATargetThatTakesEverythingAndAnswersNothingForAMinuteCostsNoAttempt(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				began := time.Now()
				b.publish("a/1")
				b.run(c, func(context.Context, *message.Envelope) error {
					if time.Since(began) < time.Minute {
						return handler.Interrupted(errBroken)
					}
					return nil
				})
				b.pass(3 * time.Minute)
				require.Empty(t, b.deadLetters())
				require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
				require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
			})
		})
	}
}

func TestAnOutageAfterCrashesCostsNoAttempt(t *testing.T) {
	for _, n := range []int{1, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				began := time.Now()
				for i := range 10 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(c, func(context.Context, *message.Envelope) error {
					switch since := time.Since(began); {
					case since < time.Minute: // it serves for five seconds at a time
						time.Sleep(5*time.Second - since%(5*time.Second))
						return handler.Interrupted(errBroken)
					case since < time.Hour:
						return handler.Unavailable(errBroken)
					}
					return nil
				})
				b.pass(2 * time.Hour)
				require.Empty(t, b.deadLetters())
				require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
				require.EqualValues(t, 10, b.count("protean.subscription.messages_processed", "ok"))
			})
		})
	}
}

func TestAMessageThatCannotBeGivenToTheHandlerSaysNothingOfItsTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				return handler.Unavailable(errBroken)
			}
			return handler.RejectUncalled(errBroken)
		})
		b.publish("a/1")
		for i := range 20 {
			b.pass(time.Minute)
			b.publish(fmt.Sprintf("bad%d/1", i))
		}
		b.pass(10 * time.Minute)
		require.Len(t, b.deadLetters(), 20, "those that cannot be given")
		require.Equal(t, 1, b.pending(), "a/1")
	})
}

// hangs keeps a test's handler in its call until the test ends, whatever its
// context says.
func hangs(b *bench) (call func(), end func()) {
	block := make(chan struct{})
	return func() { <-block }, func() {
		close(block)
		_ = b.halt()
	}
}

func TestAProbeThatNeverReturnsDoesNotKeepAnOutageAlive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.HandlerTimeout = 4, time.Second
		hang, end := hangs(b)
		defer end()
		b.publish("a/1")
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			if m.Metadata.Headers.ID == "a/1" {
				if b.nth(m) == 1 {
					return handler.Unavailable(errBroken)
				}
				hang()
			}
			return nil
		})
		b.pass(2 * time.Second)
		b.publish("b/1", "c/1")
		b.pass(10 * time.Minute)
		require.Equal(t, 1, b.pending(), "a/1")
		require.Empty(t, b.runner.Status().Gate)
	})
}

func TestACallThatWasCutOffAndNeverReturnsHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.HandlerTimeout = 4, time.Second
		hang, end := hangs(b)
		defer end()
		b.publish("a/1", "b/1", "c/1")
		began := time.Now()
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			switch {
			case time.Since(began) < 100*time.Millisecond:
				time.Sleep(50 * time.Millisecond)
				return handler.Interrupted(errBroken)
			case m.Metadata.Headers.ID == "b/1":
				hang()
			}
			return nil
		})
		b.pass(10 * time.Minute)
		b.publish("d/1")
		b.pass(10 * time.Minute)
		require.Equal(t, 1, b.pending(), "b/1")
	})
}
