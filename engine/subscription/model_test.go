package subscription_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/modeltest"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

// A seed that fails is its subtest's name. The scheduler has its part in it, so
// that it may take some repetitions to see it again.
func TestWhateverGoesWrongEachMessageEndsOnceAndInOrder(t *testing.T) {
	modeltest.Run(t, 100, func(t *testing.T, seed uint64) {
		inBubble(t, func(_ *testing.T, b *bench) { newModel(b, seed).run() })
	})
}

func TestWhateverGoesWrongEachMessageOfAnEventStoreEndsOnceAndInOrder(t *testing.T) {
	modeltest.Run(t, 200, func(t *testing.T, seed uint64) {
		inBubbleOver(t, newStoreKind, func(_ *testing.T, b *bench) { newModel(b, seed).run() })
	})
}

// model knows what each message will do, and what came of it.
type model struct {
	*bench
	random *rand.Rand
	config subscription.Config
	lost   int // replies of ClaimReleased: what such a reply held may be called once more

	guard  sync.Mutex
	fates  map[string]*fate
	newest map[string]int // of each aggregate, the last that succeeded in this run
	busy   map[string]int // calls under way, of each aggregate and of "all"
}

// fate is what the calls of a message come to; the last stands for all later.
type fate struct {
	aggregate          string
	n, failed, through int
	calls              []string
}

func newModel(b *bench, seed uint64) *model {
	m := &model{bench: b, random: rand.New(rand.NewPCG(seed, 0)), config: config(), fates: make(map[string]*fate)}
	m.config.Concurrency, m.config.MessagesPerTick = pick(m, 1, 4), pick(m, 1, 3, 10)
	m.config.Order = pick(m, subscription.OrderStream, subscription.OrderNone)
	m.config.Retry = retry.Policy{MaxAttempts: pick(m, 1, 3), Delay: pick(m, 0, time.Second)}
	return m
}

func pick[T any](m *model, from ...T) T { return from[m.random.IntN(len(from))] }

func (m *model) run() {
	for range 1 + m.random.IntN(4) {
		m.begin()
		var repairs []func()
		for range m.random.IntN(60) {
			if m.random.IntN(10) == 0 {
				repairs = append(repairs, m.fault())
			} else {
				m.add()
			}
			m.pass(pick(m, 0, 0, time.Millisecond, 100*time.Millisecond, 2*time.Second))
		}
		for _, repair := range repairs {
			repair()
		}
		m.pass(6 * time.Second) // the longest backoff: what is given up can be dead-lettered
		if m.random.IntN(2) == 0 {
			m.endWork()
		}
		require.NoError(m.t, m.halt())
	}
	m.begin()
	m.pass(10 * time.Minute)
	m.check()
}

func (m *model) begin() {
	m.newest, m.busy = make(map[string]int), make(map[string]int)
	m.bench.run(m.config, m.handle)
}

func (m *model) add() {
	m.guard.Lock()
	defer m.guard.Unlock()
	f := &fate{aggregate: pick(m, "a", "b", "c", "d"), n: len(m.fates)}
	for range m.random.IntN(4) {
		f.calls = append(f.calls, pick(m, "fail", "panic", "later"))
	}
	f.calls = append(f.calls, pick(m, "ok", "down"), pick(m, "ok", "ok", "ok", "slow", "skip", "reject", "fail"))
	id := fmt.Sprintf("%s/%d", f.aggregate, f.n)
	m.fates[id] = f
	m.publish(id)
}

func (m *model) fault() (repair func()) {
	if k, ok := m.kind.(storeKind); ok {
		set := func(n int) {
			k.store.mu.Lock()
			defer k.store.mu.Unlock()
			k.store.faults = n
		}
		set(1 + m.random.IntN(4))
		return func() { set(0) }
	}
	f := brokertest.Fault{
		Method: pick(m, "Join", "Read", "Read", "Pending", "ClaimReleased", "Ack", "Attempt", "DeadLetter"),
		Nth:    m.random.IntN(4), Times: 1 + m.random.IntN(3), ReplyLost: pick(m, true, false),
	}
	if f.Method == "ClaimReleased" && f.ReplyLost {
		m.lost += f.Times
	}
	return m.broker.Inject(f)
}

func (m *model) handle(ctx context.Context, e *message.Envelope) error {
	f, call := m.enter(e.Metadata.Headers.ID)
	wait := time.Millisecond
	if call == "slow" {
		wait = 20 * time.Second
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	return m.leave(f, call, ctx.Err())
}

// enter checks that no more is called side by side than may be.
func (m *model) enter(id string) (f *fate, call string) {
	m.guard.Lock()
	defer m.guard.Unlock()
	f = m.fates[id]
	m.busy["all"]++
	m.busy[f.aggregate]++
	if m.busy["all"] > m.config.Concurrency || m.busy[f.aggregate] > 1 && m.config.Order == subscription.OrderStream {
		m.t.Errorf("called side by side: %v", m.busy)
	}
	return f, f.calls[0]
}

func (m *model) leave(f *fate, call string, cut error) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	m.busy["all"]--
	m.busy[f.aggregate]--
	if cut != nil {
		return cut
	}
	f.calls = f.calls[min(1, len(f.calls)-1):]
	switch call {
	case "panic":
		f.failed++
		panic("as planned")
	case "fail":
		f.failed++
		return errBroken
	case "reject":
		f.failed++
		return handler.Reject(errBroken)
	case "later":
		return handler.RetryAfter(3 * time.Second)
	case "down":
		return handler.Unavailable(errBroken)
	}
	if f.through++; m.newest[f.aggregate] > f.n && m.config.Order == subscription.OrderStream {
		m.t.Errorf("%s/%d succeeded after number %d", f.aggregate, f.n, m.newest[f.aggregate])
	}
	m.newest[f.aggregate] = f.n
	if call == "skip" {
		return handler.Skip(nil)
	}
	return nil
}

// check holds what came of each message against what had to.
func (m *model) check() {
	require.Zero(m.t, m.kind.unfinished(m.bench))
	found := make(map[string]int)
	if k, ok := m.kind.(storeKind); ok {
		found = k.store.exhausted
	} else {
		for _, l := range m.deadLetters() {
			found[l.Metadata.Headers.ID]++
		}
	}
	calls := m.config.Retry.MaxAttempts
	for id, f := range m.fates {
		require.Equal(m.t, 1, f.through+found[id], "%s: handled %d times, %d dead found", id, f.through, found[id])
		require.LessOrEqual(m.t, f.failed, calls+m.lost, "calls of %s", id)
		if found[id] == 1 && f.calls[0] != "reject" {
			require.GreaterOrEqual(m.t, f.failed, calls, "%s was given up early", id)
		}
	}
}
