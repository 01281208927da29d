package subscription_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// isBad is of messages that the target has nothing for: it answers 404.
func isBad(m *message.Envelope) bool { return strings.HasPrefix(m.Metadata.Headers.ID, "bad") }

func unavailableIfBad(_ context.Context, m *message.Envelope) error {
	time.Sleep(5 * time.Millisecond)
	if isBad(m) {
		return handler.Unavailable(errBroken)
	}
	return nil
}

func TestManyMessagesThatFindTheTargetDownDoNotKeepTheOthersFromBeingTried(t *testing.T) {
	for _, c := range []struct{ tick, bad, concurrency int }{{1, 12, 1}, {1, 12, 4}, {10, 150, 1}, {10, 150, 16}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				cfg := config()
				cfg.MessagesPerTick, cfg.Concurrency = c.tick, c.concurrency
				for i := range c.bad {
					b.publish(fmt.Sprintf("bad%d/1", i))
				}
				for i := range 200 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(cfg, unavailableIfBad)
				b.pass(5 * time.Minute)
				require.EqualValues(t, 200, b.count("protean.subscription.messages_processed", "ok"))
				for i := range 2000 { // which show that the target answers
					b.publish(fmt.Sprintf("more%d/1", i))
					b.pass(time.Second)
				}
				require.EqualValues(t, 2200, b.count("protean.subscription.messages_processed", "ok"))
				require.Len(t, b.deadLetters(), c.bad)
				require.Zero(t, b.pending())
			})
		})
	}
}

func TestAFewMessagesThatFindTheTargetDownHoldUpNoOther(t *testing.T) {
	for _, n := range []int{1, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				b.run(c, unavailableIfBad)
				for i := range 3000 { // 100 a second, of which a bare loop handles 200
					if id := fmt.Sprintf("m%d/1", i); i < 2000 && i%100 == 42 {
						b.publish("bad-" + id)
					} else {
						b.publish(id)
					}
					b.pass(10 * time.Millisecond)
				}
				require.EqualValues(t, 2980, b.count("protean.subscription.messages_processed", "ok"))
				require.Len(t, b.deadLetters(), 20)
				require.Zero(t, b.pending())
				require.NotContains(t, b.log.String(), "target is down")
			})
		})
	}
}

// While the application restarts, other calls are refused.
func TestAMessageOverWhichTheTargetCrashesIsFoundOutUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.MessagesPerTick = 16, 100
		var mu sync.Mutex
		crash, back, crashes := make(chan struct{}), time.Time{}, 0
		b.run(c, func(_ context.Context, m *message.Envelope) error {
			mu.Lock()
			crashed, up := crash, !time.Now().Before(back)
			mu.Unlock()
			if !up {
				return handler.Unavailable(errBroken)
			}
			if isBad(m) {
				time.Sleep(10 * time.Millisecond)
				mu.Lock()
				close(crash)
				crash, back = make(chan struct{}), time.Now().Add(300*time.Millisecond)
				crashes++
				mu.Unlock()
				return handler.Interrupted(errBroken)
			}
			select {
			case <-crashed:
				return handler.Interrupted(errBroken)
			case <-time.After(25 * time.Millisecond):
				return nil
			}
		})
		for i := range 12_000 {
			if i == 100 {
				b.publish("bad/1")
			}
			b.publish(fmt.Sprintf("m%d/1", i))
			b.pass(2500 * time.Microsecond)
		}
		b.pass(time.Minute)
		require.Len(t, b.deadLetters(), 1)
		require.EqualValues(t, 12_000, b.count("protean.subscription.messages_processed", "ok"))
		require.LessOrEqual(t, crashes, 7, "one beside others, three that are excused, three attempts")
	})
}

func TestABlipWithManyCallsUnderWayIsOverAtTheFirstProbe(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		c := config()
		c.Concurrency, c.MessagesPerTick = 16, 100
		began := time.Now()
		var longest time.Duration
		var mu sync.Mutex
		last := began
		b.run(c, func(context.Context, *message.Envelope) error {
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if since := time.Since(began); time.Second <= since && since < 1050*time.Millisecond {
				return handler.Unavailable(errBroken)
			}
			longest, last = max(longest, time.Since(last)), time.Now()
			return nil
		})
		for i := range 3000 {
			b.publish(fmt.Sprintf("hot%d/%d", i%10, i))
			b.pass(time.Millisecond)
		}
		b.pass(10 * time.Second)
		require.EqualValues(t, 3000, b.count("protean.subscription.messages_processed", "ok"))
		require.Less(t, longest, time.Second)
	})
}

// endsItsGoroutine is a panic's value whose text can be had once.
type endsItsGoroutine struct{ texts *int }

func (e endsItsGoroutine) String() string {
	if *e.texts++; *e.texts > 1 {
		runtime.Goexit()
	}
	return "once"
}

func TestAPanicsValueIsAskedForItsTextOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.publish("bad/1", "a/1")
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if isBad(m) {
				panic(endsItsGoroutine{new(int)})
			}
			return nil
		})
		b.pass(time.Minute)
		require.EqualValues(t, 1, b.count("protean.subscription.messages_processed", "ok"))
		require.Len(t, b.deadLetters(), 1)
	})
}

func TestAMessageThatDidNotReachTheTargetIsNeverTheCause(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		up := time.Now().Add(time.Minute)
		b.run(config(), func(_ context.Context, m *message.Envelope) error {
			if isBad(m) && time.Now().Before(up) {
				return handler.Unreachable(errBroken)
			}
			return nil
		})
		b.publish("bad/1")
		for i := range 700 {
			b.publish(fmt.Sprintf("m%d/1", i))
			b.pass(100 * time.Millisecond)
		}
		require.Empty(t, b.deadLetters())
		require.EqualValues(t, 701, b.count("protean.subscription.messages_processed", "ok"))
		require.Zero(t, b.count("protean.subscription.messages_processed", "error"))
	})
}

func TestWhatIsReadForATargetThatCannotBeReachedIsBounded(t *testing.T) {
	for reached, want := range map[bool]int{true: 1000, false: 20} {
		t.Run(fmt.Sprint(reached), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				for i := range 3000 {
					b.publish(fmt.Sprintf("m%d/1", i))
				}
				b.run(config(), func(context.Context, *message.Envelope) error {
					if reached {
						return handler.Unavailable(errBroken)
					}
					return handler.Unreachable(errBroken)
				})
				b.pass(2 * time.Hour)
				require.InDelta(t, want, b.pending(), 10)
				require.Empty(t, b.deadLetters())
			})
		})
	}
}

// Behind a balancer every second call reaches an instance that is down.
func TestATargetThatIsHalfDownCostsNoMessageItsAttempts(t *testing.T) {
	for _, n := range []int{1, 16} {
		for name, down := range map[string]func(error) error{"answers 502": handler.Unavailable, "cuts off": handler.Interrupted} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					c := config()
					c.Concurrency, c.Retry.MaxAttempts = n, 1
					half, whole := time.Now().Add(5*time.Second), time.Now().Add(30*time.Second)
					b.run(c, func(context.Context, *message.Envelope) error {
						time.Sleep(2 * time.Millisecond)
						if now := time.Now(); half.Before(now) && now.Before(whole) && rand.N(2) == 0 {
							return down(errBroken)
						}
						return nil
					})
					for i := range 6000 {
						b.publish(fmt.Sprintf("m%d/1", i))
						b.pass(5 * time.Millisecond)
					}
					b.pass(time.Minute)
					require.LessOrEqual(t, len(b.deadLetters()), 2)
					require.Zero(t, b.pending())
				})
			})
		}
	}
}

func TestOneMessageInTwentyThatFindsTheTargetDownLeavesTheOthersTheirSpeed(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				c := config()
				c.Concurrency = n
				b.run(c, func(_ context.Context, m *message.Envelope) error {
					time.Sleep(time.Millisecond)
					if isBad(m) {
						return handler.Unavailable(errBroken)
					}
					return nil
				})
				for i := range 6000 { // 100 a second, of 500 aggregates
					id := fmt.Sprintf("s%d/%d", i%500, i)
					if i%19 == 5 {
						id = "bad" + id
					}
					b.publish(id)
					b.pass(10 * time.Millisecond)
				}
				require.Greater(t, b.count("protean.subscription.messages_processed", "ok"), int64(5400), "of 5684")
				require.NotContains(t, b.log.String(), "target is down")
			})
		})
	}
}
