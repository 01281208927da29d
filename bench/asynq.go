package main

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"
)

// taskType is the type of every task; its payload is the message's text.
const taskType = "event"

// asynqConcurrencies are tried once before the rounds; the best one competes.
var asynqConcurrencies = []int{2, 4, 8, 16, 32, 64}

// enqueue fills a queue of the round's own, off the clock.
func enqueue(ctx context.Context, r *round) error {
	const writers = 8
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: r.addr, PoolSize: writers})
	defer client.Close()
	g, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := w; i < len(r.messages); i += writers {
				task := asynq.NewTask(taskType, []byte(r.messages[i]))
				if _, err := client.EnqueueContext(ctx, task, asynq.Queue(r.group)); err != nil {
					return fmt.Errorf("enqueue task %d: %w", i, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// consumeAsynq runs a server on the round's queue.
func consumeAsynq(concurrency int) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		s := asynq.NewServer(
			asynq.RedisClientOpt{Addr: r.addr, PoolSize: concurrency + 10},
			asynq.Config{
				Concurrency: concurrency,
				Queues:      map[string]int{r.group: 1},
				LogLevel:    asynq.ErrorLevel,
			},
		)
		err := s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
			return decodeAndHandle(r, t.Payload())
		}))
		if err != nil {
			return err
		}
		<-ctx.Done()
		s.Shutdown()
		return nil
	}
}

// completed reports whether the queue is empty, nothing is in hand, and no task
// failed.
func completed(_ context.Context, r *round) (bool, error) {
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: r.addr})
	defer inspector.Close()
	q, err := inspector.GetQueueInfo(r.group)
	if err != nil {
		return false, fmt.Errorf("queue %s: %w", r.group, err)
	}
	if q.FailedTotal > 0 {
		return false, fmt.Errorf("queue %s: %d tasks failed", r.group, q.FailedTotal)
	}
	return q.Size == 0 && q.ProcessedTotal == len(r.messages), nil
}
