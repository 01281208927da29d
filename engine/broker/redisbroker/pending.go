package redisbroker

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// maxCount bounds the delivery counts that are taken for attempts. No process
// reaches it, and up to it the numbers of a script are exact.
const maxCount = 1 << 53

// Pending implements [consumergroup.Reader]. An entry's Attempts are its
// delivery count less one: a count of 1 is the read itself, and of n attempts the
// last was recorded but may not have been made. Only unknown entries cost the
// transfer of a body.
func (m *membership) Pending(ctx context.Context, l consumergroup.List) (got []message.Delivery, next string, err error) {
	err = m.do(ctx, "list pending entries of", func() error {
		if l.Max < 1 {
			return nil
		}
		start := "-"
		if l.After != "" {
			start = "(" + l.After
		}
		list := newRawCommand(ctx, 0, "XPENDING", m.member.Stream, m.member.Group, start, "+", maxBatch, m.member.Consumer)
		_ = m.broker.commands.Process(ctx, list)
		buf, err := reply(ctx, m.broker.commands, list)
		if err != nil {
			return err
		}
		if got, err = parsePending(m.member.Stream, buf); err != nil {
			return err
		}
		if len(got) == maxBatch {
			next = got[maxBatch-1].ID
		}
		if l.Known != nil {
			got = slices.DeleteFunc(got, func(d message.Delivery) bool { return l.Known(d.ID) })
		}
		if len(got) > l.Max {
			got = got[:l.Max]
			next = got[l.Max-1].ID
		}
		if l.IDsOnly {
			return nil
		}
		return m.readBodies(ctx, got)
	})
	if err != nil {
		return nil, "", err
	}
	return got, next, nil
}

// readBodies fills in the fields of entries, in one round trip: reading the
// group's history instead would count as a delivery. The error of a reply that
// is too large for the time-out is a net.Error whose Timeout is true.
func (m *membership) readBodies(ctx context.Context, entries []message.Delivery) error {
	if len(entries) == 0 {
		return nil
	}
	pipe := m.broker.commands.Pipeline()
	ranges := make([]rawCommand, len(entries))
	for i, entry := range entries {
		ranges[i] = newRawCommand(ctx, 0, "XRANGE", m.member.Stream, entry.ID, entry.ID)
		_ = pipe.Process(ctx, ranges[i])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i := range entries {
		buf, err := reply(ctx, m.broker.commands, ranges[i])
		if err != nil {
			return err
		}
		found, err := parseRange(m.member.Stream, buf)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			entries[i].Fields = found[0].Fields
		}
	}
	return nil
}

// deliveryCount reads a delivery count; one that no process could have reached
// is [math.MaxInt].
func deliveryCount(text string) int {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n >= maxCount {
		return math.MaxInt
	}
	return int(n)
}

// attemptsOf are the attempts behind the delivery count of an entry that was
// read by this consumer.
func attemptsOf(count int) int {
	if count >= maxCount {
		return math.MaxInt
	}
	return max(count-1, 0)
}

func unexpectedReply(command string) error {
	return fmt.Errorf("cannot read the server's reply to %s", command)
}
