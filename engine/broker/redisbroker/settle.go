package redisbroker

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Redis does nothing else while it runs a command or a script, so one takes no
// more than this many entries, or entries whose bodies it reads or writes.
const (
	maxBatch  = 1000
	maxBodies = 100
)

// Ack implements [consumergroup.Settler].
func (m *membership) Ack(ctx context.Context, ids []string) error {
	return m.do(ctx, "acknowledge on", func() error { return m.ack(ctx, ids) })
}

func (m *membership) ack(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	acks := m.ackCommands(ctx, ids)
	if len(acks) == 1 {
		_ = send(ctx, m.broker.commands, acks[0])
	} else {
		pipe := m.broker.commands.Pipeline()
		enqueue(ctx, pipe, acks)
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	acked, err := sum(acks)
	if err != nil || acked > 0 {
		return err
	}
	return m.groupExists(ctx)
}

// ackCommands are the acknowledgements of all ids.
func (m *membership) ackCommands(ctx context.Context, ids []string) []command {
	acks := make([]command, 0, 1+len(ids)/maxBatch)
	for batch := range slices.Chunk(ids, maxBatch) {
		args := make([]any, 0, 3+len(batch))
		args = append(args, "XACK", m.member.Stream, m.member.Group)
		for _, id := range batch {
			args = append(args, id)
		}
		acks = append(acks, newCommand(ctx, args...))
	}
	return acks
}

// enqueue adds commands to a pipeline.
func enqueue(ctx context.Context, pipe redis.Pipeliner, commands []command) {
	for _, c := range commands {
		_ = pipe.Process(ctx, c)
	}
}

// sum adds up what the acknowledgements ended; the first error wins.
func sum(acks []command) (acked int64, err error) {
	for _, ack := range acks {
		n, err := ack.Int64()
		if err != nil {
			return acked, err
		}
		acked += n
	}
	return acked, nil
}

// Attempt implements [consumergroup.Settler].
func (m *membership) Attempt(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "record attempts on", func() error {
		lost, err = m.settle(ctx, attemptScript, entries)
		return err
	})
	return lost, err
}

// Release implements [consumergroup.Settler]; the consumer that gets the entries
// is [Released].
func (m *membership) Release(ctx context.Context, entries []consumergroup.Entry) (lost []string, err error) {
	err = m.do(ctx, "release on", func() error {
		lost, err = m.settle(ctx, releaseScript, entries, Released)
		return err
	})
	return lost, err
}

// settle runs a script that returns lost ids over all entries, batch by batch.
// After an error lost are those of the batches before.
func (m *membership) settle(ctx context.Context, s script, entries []consumergroup.Entry, args ...any) (lost []string, err error) {
	for batch := range slices.Chunk(entries, maxBatch) {
		all := make([]any, 0, 3+2*len(batch))
		all = append(append(all, m.member.Group, m.member.Consumer), args...)
		for _, entry := range batch {
			all = append(all, entry.ID, entry.Attempts)
		}
		result, err := m.broker.run(ctx, s, []string{m.member.Stream}, all...)
		if err != nil {
			return lost, err
		}
		of, err := result.StringSlice()
		if err != nil {
			return lost, err
		}
		lost = append(lost, of...)
	}
	return lost, nil
}
