package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// DeadLetter implements [consumergroup.Settler]. Its entry in the queue has the
// field data and, where the dead letter has one, the field raw.
//
// One script writes it and acknowledges the entry that it replaces. In a cluster
// that has the two keys in different slots, ownership is checked, the dead letter
// written and the entry acknowledged one after the other: what is interrupted in
// between may be written again, and so may an entry that another consumer claims
// in between.
func (m *membership) DeadLetter(ctx context.Context, entries []deadletter.Entry) (lost []string, err error) {
	queue := deadletter.QueueOf(m.member.Stream)
	err = m.do(ctx, "dead-letter from", func() error {
		for batch := range slices.Chunk(entries, maxBodies) {
			more, err := m.deadLetter(ctx, queue, batch)
			lost = append(lost, more...)
			if errors.Is(err, consumergroup.ErrRefused) {
				return fmt.Errorf("%w: %w", consumergroup.ErrRefused, m.broker.explain(ctx, err, m.member.Stream, queue))
			}
			if err != nil {
				return m.broker.explain(ctx, err, m.member.Stream, queue)
			}
		}
		return nil
	})
	return lost, err
}

func (m *membership) deadLetter(ctx context.Context, queue string, entries []deadletter.Entry) (lost []string, err error) {
	if m.split.Load() {
		return m.writeThenAck(ctx, queue, entries)
	}
	args := []any{m.member.Group, m.member.Consumer}
	for _, entry := range entries {
		args = append(args, entry.ID, entry.Data, entry.Raw != nil, entry.Raw)
	}
	result, err := m.broker.run(ctx, deadLetterScript, []string{m.member.Stream, queue}, args...)
	var refusal redis.Error
	switch {
	case hasCode(err, "CROSSSLOT"):
		m.split.Store(true)
		return m.writeThenAck(ctx, queue, entries)
	case len(entries) == 1 && errors.As(err, &refusal):
		return nil, fmt.Errorf("%w: %w", consumergroup.ErrRefused, err)
	case err != nil:
		return nil, err
	}
	return result.StringSlice()
}

// writeThenAck moves entries whose two keys no script may touch together. What
// was written is acknowledged also where another of the batch could not be.
func (m *membership) writeThenAck(ctx context.Context, queue string, entries []deadletter.Entry) (lost []string, err error) {
	pipe := m.broker.commands.Pipeline()
	owned := make([]command, len(entries))
	for i, entry := range entries {
		owned[i] = newCommand(ctx, "XPENDING", m.member.Stream, m.member.Group, entry.ID, entry.ID, 1, m.member.Consumer)
	}
	enqueue(ctx, pipe, owned)
	_, _ = pipe.Exec(ctx) // each command has its own error
	pipe = m.broker.commands.Pipeline()
	written := make(map[string]command, len(entries))
	for i, entry := range entries {
		pending, err := owned[i].Slice()
		if err != nil {
			return nil, err
		}
		if len(pending) == 0 {
			lost = append(lost, entry.ID)
			continue
		}
		args := []any{"XADD", queue, "*", "data", entry.Data}
		if entry.Raw != nil {
			args = append(args, "raw", entry.Raw)
		}
		written[entry.ID] = newCommand(ctx, args...)
		_ = pipe.Process(ctx, written[entry.ID])
	}
	if len(written) == 0 {
		return lost, nil
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	var acks []string
	for id, write := range written {
		if write.Err() == nil {
			acks = append(acks, id)
		} else {
			err = write.Err()
		}
	}
	if ackErr := m.ack(ctx, acks); err == nil {
		err = ackErr
	}
	return lost, err
}
