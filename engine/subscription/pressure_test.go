package subscription_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

// heldKind is a kind of source that knows what a subscription has read of it and not
// settled.
type heldKind struct {
	kind

	mu      sync.Mutex
	tasks   map[*subscription.Task]int // and the bytes of each
	entries int                        // the most that there were at once
	bytes   int
}

func (k *heldKind) open() subscription.Opener { return heldOpener{k.kind.open(), k} }

type heldOpener struct {
	subscription.Opener
	kind *heldKind
}

func (o heldOpener) Open(c subscription.Config, log *slog.Logger) subscription.Source {
	return &heldSource{o.Opener.Open(c, log), o.kind}
}

// heldSource cannot read bodies again: what is held is what was read.
type heldSource struct {
	subscription.Source
	kind *heldKind
}

func (s *heldSource) Next(ctx context.Context, most int) ([]*subscription.Task, error) {
	tasks, err := s.Source.Next(ctx, most)
	s.kind.mu.Lock()
	defer s.kind.mu.Unlock()
	for _, t := range tasks {
		size := 0
		for _, f := range t.Delivery.Fields {
			size += len(f.Name) + len(f.Value)
		}
		s.kind.tasks[t] = size
	}
	total := 0
	for _, size := range s.kind.tasks {
		total += size
	}
	s.kind.entries, s.kind.bytes = max(s.kind.entries, len(s.kind.tasks)), max(s.kind.bytes, total)
	return tasks, err
}

func (s *heldSource) settled(tasks []*subscription.Task) {
	s.kind.mu.Lock()
	defer s.kind.mu.Unlock()
	for _, t := range tasks {
		delete(s.kind.tasks, t)
	}
}

func (s *heldSource) Done(tasks []*subscription.Task) {
	s.settled(tasks)
	s.Source.Done(tasks)
}

func (s *heldSource) GiveUp(ctx context.Context, tasks []*subscription.Task) ([]*subscription.Task, error) {
	lost, err := s.Source.GiveUp(ctx, tasks)
	if err == nil {
		s.settled(tasks)
	}
	return lost, err
}

// A backlog stays where it is: what is read of it ahead of a slow handler is bounded
// in entries and in bytes, whatever the handler does with them.
func TestAHandlerSlowerThanItsInputNeverMakesMemoryGrow(t *testing.T) {
	const perTick, size, budget = 10, 10_000, 400_000
	handlers := map[string]func(context.Context, *message.Envelope) error{
		"slow": func(ctx context.Context, _ *message.Envelope) error { retry.Sleep(ctx, time.Second); return nil },
		"slow and failing": func(ctx context.Context, m *message.Envelope) error {
			retry.Sleep(ctx, time.Second)
			return errors.New("no: " + m.Metadata.Headers.ID)
		},
		"hanging": func(ctx context.Context, _ *message.Envelope) error { <-ctx.Done(); return ctx.Err() },
	}
	for name, fn := range handlers {
		for _, concurrency := range []int{1, 8} {
			for bound, limit := range map[string]int64{"entries": 1 << 30, "bytes": budget} {
				t.Run(fmt.Sprintf("%s, concurrency %d, bounded by %s", name, concurrency, bound), func(t *testing.T) {
					for source, newKind := range map[string]func() kind{"consumer group": newGroupKind, "event store": newStoreKind} {
						t.Run(source, func(t *testing.T) {
							held := &heldKind{tasks: map[*subscription.Task]int{}}
							inBubbleOver(t, func() kind { held.kind = newKind(); return held }, func(t *testing.T, b *bench) {
								if g, ok := held.kind.(groupKind); ok {
									b.broker = g.broker
								}
								b.budget = subscription.NewBudget(limit)
								c := config()
								c.MessagesPerTick, c.Concurrency = perTick, concurrency
								c.Retry = retry.Policy{MaxAttempts: 3, Delay: 10 * time.Second}
								c.HandlerTimeout = time.Minute
								for i := range 300 {
									b.publishText(text(t, fmt.Sprintf("a%d/%d", i%100, i), `{"x": "`+strings.Repeat("x", size)+`"}`))
								}
								b.run(c, fn)
								b.pass(30 * time.Second)

								held.mu.Lock()
								entries, bytes := held.entries, held.bytes
								held.mu.Unlock()
								require.Positive(t, entries)
								// What waits, a batch that is offered, and one that is being read.
								require.LessOrEqual(t, entries, 12*perTick)
								if bound == "bytes" {
									require.LessOrEqual(t, bytes, budget+2*size)
								}
								require.NotZero(t, b.kind.unfinished(b), "it was slower than its input")
							})
						})
					}
				})
			}
		}
	}
}
