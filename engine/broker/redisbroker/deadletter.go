package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// DeadLetter implements [consumergroup.Settler]. Its entry in the queue has the
// field data and, where the dead letter has one, the field raw.
//
// One script writes it and acknowledges the entry that it replaces. In a cluster
// that has the two keys in different slots, the right to acknowledge and ownership
// are checked, the dead letter written and the entry acknowledged one after the
// other. An entry that another consumer claims in between may be written again, and
// so may what is interrupted, by a user who may not read the queue.
func (m *membership) DeadLetter(ctx context.Context, entries []deadletter.Entry) (lost []string, err error) {
	queue := deadletter.QueueOf(m.member.Stream)
	err = m.do(ctx, "dead-letter from", func() error {
		for batch := range slices.Chunk(entries, maxBodies) {
			more, refused, err := m.deadLetter(ctx, queue, batch)
			lost = append(lost, more...)
			if err = m.broker.explain(ctx, err, m.member.Stream, queue); refused && len(entries) == 1 { // of others some may be written
				err = fmt.Errorf("%w: %w", consumergroup.ErrRefused, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return lost, err
}

// deadLetter reports as refused what the server answered that nothing was written of.
func (m *membership) deadLetter(ctx context.Context, queue string, entries []deadletter.Entry) (lost []string, refused bool, err error) {
	if m.split.Load() {
		lost, err = m.writeThenAck(ctx, queue, entries)
		return lost, false, err
	}
	args := []any{m.member.Group, m.member.Consumer}
	for _, entry := range entries {
		args = append(args, entry.ID, entry.Data, entry.Raw != nil, entry.Raw, searchFrom(entry))
	}
	result, err := m.broker.run(ctx, deadLetterScript, []string{m.member.Stream, queue}, args...)
	var refusal redis.Error
	switch {
	case hasCode(err, "CROSSSLOT"):
		m.split.Store(true)
		lost, err = m.writeThenAck(ctx, queue, entries)
		return lost, false, err
	case err != nil:
		return nil, errors.As(err, &refusal), err
	}
	lost, err = result.StringSlice()
	return lost, false, err
}

// clockDifference is how far this process' clock may be ahead of the server's,
// for an earlier try to be found.
const clockDifference = time.Minute

// searchFrom is the id in the queue from which on an earlier try is looked for;
// empty where there was none.
func searchFrom(entry deadletter.Entry) string {
	if entry.TriedAt.IsZero() {
		return ""
	}
	return message.EntryID{Milliseconds: uint64(max(entry.TriedAt.Add(-clockDifference).UnixMilli(), 0))}.String()
}

// writeThenAck moves entries whose two keys no script may touch together. What
// was written is acknowledged also where another of the batch could not be.
func (m *membership) writeThenAck(ctx context.Context, queue string, entries []deadletter.Entry) (lost []string, err error) {
	pipe := m.broker.commands.Pipeline()
	mayAck := newCommand(ctx, "XACK", m.member.Stream, m.member.Group, "0-0") // no entry has this id
	_ = pipe.Process(ctx, mayAck)
	owned := make([]command, len(entries))
	for i, entry := range entries {
		owned[i] = newCommand(ctx, "XPENDING", m.member.Stream, m.member.Group, entry.ID, entry.ID, 1)
	}
	enqueue(ctx, pipe, owned)
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := mayAck.Err(); err != nil {
		return nil, err
	}
	pipe = m.broker.commands.Pipeline()
	var acks []string
	written := make(map[string]command, len(entries))
	for i, entry := range entries {
		pending, err := owned[i].Slice()
		if err != nil {
			return nil, err
		}
		mine := false
		if len(pending) > 0 {
			owner, ok := pending[0].([]any)
			if !ok || len(owner) < 2 {
				return nil, unexpectedReply("XPENDING")
			}
			mine = owner[1] == m.member.Consumer
		}
		if !mine && (len(pending) > 0 || entry.TriedAt.IsZero()) {
			lost = append(lost, entry.ID)
			continue
		}
		if from := searchFrom(entry); from != "" {
			result, err := m.broker.run(ctx, findDeadLetterScript, []string{queue}, entry.Data, from)
			if err != nil {
				return nil, err
			}
			if found, err := result.Int(); err != nil {
				return nil, err
			} else if found == 1 {
				acks = append(acks, entry.ID)
				continue
			}
		}
		args := []any{"XADD", queue, "*", "data", entry.Data}
		if entry.Raw != nil {
			args = append(args, "raw", entry.Raw)
		}
		written[entry.ID] = newCommand(ctx, args...)
		_ = pipe.Process(ctx, written[entry.ID])
	}
	if len(written) > 0 {
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
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
