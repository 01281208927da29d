package redisbroker

import (
	"context"
	_ "embed" // the scripts are files
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
)

var (
	//go:embed scripts/replay.lua
	replaySource string
	//go:embed scripts/copy.lua
	copySource string

	replayScript = newScript(idsSource + replaySource)
	copyScript   = newScript(copySource)
)

// ownKey is a key of this engine beside a stream, in the stream's slot of a cluster.
func ownKey(stream, name string) string { return "observatory:{" + stream + "}:" + name }

// onQueue runs one operation on the queue of a stream; what names it in errors.
func (b *Broker) onQueue(ctx context.Context, what, stream string, operation func(queue string) error) error {
	queue := deadletter.QueueOf(stream)
	return b.do(what+" "+queue, func() error { return b.explain(ctx, operation(queue), stream, queue) })
}

// State implements [deadletter.Reader].
func (b *Broker) State(ctx context.Context, stream string) (s deadletter.State, err error) {
	err = b.onQueue(ctx, "ask about", stream, func(queue string) error {
		pipe := b.commands.Pipeline()
		length, newest := newCommand(ctx, "XLEN", queue), newRawCommand(ctx, 0, "XREVRANGE", queue, "+", "-", "COUNT", 1)
		_, _ = pipe.Process(ctx, length), pipe.Process(ctx, newest)
		_, _ = pipe.Exec(ctx) // each command has its own error
		depth, err := length.Int()
		if err != nil {
			return err
		}
		entries, err := b.readRange(ctx, stream, newest)
		if err == nil && len(entries) > 0 {
			s.Newest = entries[0].ID
		}
		s.Depth = depth
		return err
	})
	return s, err
}

// DeadLetters implements [deadletter.Reader].
func (b *Broker) DeadLetters(ctx context.Context, stream string, page deadletter.Page) (got []message.Delivery, err error) {
	from, until := "-", "+"
	if page.After != "" {
		from = "(" + page.After
	}
	if page.Until != "" {
		until = page.Until
	}
	err = b.onQueue(ctx, "read", stream, func(queue string) error {
		c := newRawCommand(ctx, 0, "XRANGE", queue, from, until, "COUNT", page.Max)
		_ = b.commands.Process(ctx, c)
		got, err = b.readRange(ctx, stream, c)
		return err
	})
	return got, err
}

func (b *Broker) readRange(ctx context.Context, stream string, c rawCommand) ([]message.Delivery, error) {
	buf, err := reply(ctx, b.commands, c)
	if err != nil {
		return nil, err
	}
	return parseRange(stream, buf)
}

// Groups implements [deadletter.Replayer].
func (b *Broker) Groups(ctx context.Context, stream string) (groups []deadletter.Group, err error) {
	err = b.do("list the groups of "+stream, func() error {
		list := newCommand(ctx, "XINFO", "GROUPS", stream)
		if err := send(ctx, b.commands, list); hasCode(err, "no such key") {
			return nil
		} else if err != nil {
			return b.explain(ctx, err, stream)
		}
		states, err := parseGroups(list.Val())
		if err != nil {
			return fmt.Errorf("XINFO GROUPS: %w", err)
		}
		pipe := b.commands.Pipeline()
		var consumers, live []command
		for name := range states {
			groups = append(groups, deadletter.Group{Name: name})
			consumers = append(consumers, newCommand(ctx, "XINFO", "CONSUMERS", stream, name))
			live = append(live, newCommand(ctx, "EXISTS", ownKey(stream, liveKey+name)))
		}
		enqueue(ctx, pipe, slices.Concat(consumers, live))
		_, _ = pipe.Exec(ctx) // each command has its own error
		for i := range groups {
			if groups[i].Consumers, err = parseConsumers(consumers[i]); err != nil {
				return fmt.Errorf("XINFO CONSUMERS: %w", err)
			}
			n, err := live[i].Int()
			if err != nil {
				return err
			}
			groups[i].Live = n > 0
		}
		slices.SortFunc(groups, func(a, b deadletter.Group) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return groups, err
}

func parseConsumers(c command) ([]deadletter.Consumer, error) {
	list, err := c.Slice()
	if err != nil {
		return nil, err
	}
	var all []deadletter.Consumer
	for _, item := range list {
		var one deadletter.Consumer
		for name, value := range pairs(item) {
			switch name {
			case "name":
				one.Name, _ = value.(string)
			case "idle":
				one.Idle = time.Duration(integer(value).n) * time.Millisecond
			}
		}
		if one.Name != Released {
			all = append(all, one)
		}
	}
	return all, nil
}

// outcomes are what replay.lua writes for each.
var outcomes = map[rune]deadletter.Outcome{
	'c': deadletter.Claimed, 'p': deadletter.AlreadyPending, 'u': deadletter.Undelivered,
	'a': deadletter.Absent, 'g': deadletter.Gone,
}

// Replay implements [deadletter.Replayer].
func (b *Broker) Replay(ctx context.Context, r deadletter.Replay) (all []deadletter.Outcome, err error) {
	consumer := r.Consumer
	if consumer == "" {
		consumer = Released
	}
	err = b.onQueue(ctx, fmt.Sprintf("replay to group %q from", r.Group), r.Stream, func(queue string) error {
		for batch := range slices.Chunk(r.Items, maxBodies) {
			items := make([]any, 0, 2*len(batch))
			for _, item := range batch {
				items = append(items, item.DeadLetter, item.Original)
			}
			result, err := b.run(ctx, replayScript, []string{r.Stream, queue}, append([]any{r.Group, consumer, 0}, items...)...)
			if hasCode(err, "CROSSSLOT") {
				got, err := b.replayApart(ctx, r, consumer, queue, batch)
				all = append(all, got...)
				if err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return noSuchGroup(err)
			}
			got, err := outcomesOf(result, len(batch))
			if err != nil {
				return err
			}
			all = append(all, got...)
		}
		return nil
	})
	return all, err
}

func outcomesOf(result command, n int) ([]deadletter.Outcome, error) {
	text, err := result.Text()
	if err != nil || len(text) != n {
		return nil, errors.Join(unexpectedReply("EVALSHA"), err)
	}
	var all []deadletter.Outcome
	for _, letter := range text {
		all = append(all, outcomes[letter])
	}
	return all, nil
}

func noSuchGroup(err error) error {
	if hasCode(err, "NOGROUP") || hasCode(err, "no such key") {
		return fmt.Errorf("%w: %w", deadletter.ErrNoGroup, err)
	}
	return err
}

// replayApart replays where no script may touch a stream and its queue together: the
// original is claimed and the dead letter marked as replayed in one script, then the
// dead letter is deleted, then the mark. A replay that finds the mark claims nothing.
func (b *Broker) replayApart(ctx context.Context, r deadletter.Replay, consumer, queue string, batch []deadletter.Item) ([]deadletter.Outcome, error) {
	there, err := b.exist(ctx, queue, batch)
	if err != nil {
		return nil, err
	}
	all := make([]deadletter.Outcome, len(batch))
	var items []any
	var at []int
	for i, item := range batch {
		if all[i] = deadletter.Gone; there[i] {
			items, at = append(items, item.DeadLetter, item.Original), append(at, i)
		}
	}
	if len(at) == 0 {
		return all, nil
	}
	marks := ownKey(r.Stream, replayedKey)
	result, err := b.run(ctx, replayScript, []string{r.Stream, marks}, append([]any{r.Group, consumer, 1}, items...)...)
	if err != nil {
		return nil, noSuchGroup(err)
	}
	got, err := outcomesOf(result, len(at))
	if err != nil {
		return nil, err
	}
	var done []string
	for k, i := range at {
		if all[i] = got[k]; got[k] != deadletter.Absent {
			done = append(done, batch[i].DeadLetter)
		}
	}
	return all, b.deleteMarked(ctx, queue, marks, done)
}

// exist says which dead letters are in the queue.
func (b *Broker) exist(ctx context.Context, queue string, batch []deadletter.Item) ([]bool, error) {
	pipe := b.commands.Pipeline()
	ranges := make([]rawCommand, len(batch))
	for i, item := range batch {
		ranges[i] = newIDsCommand(ctx, "XRANGE", queue, item.DeadLetter, item.DeadLetter)
		_ = pipe.Process(ctx, ranges[i])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	there := make([]bool, len(batch))
	for i := range batch {
		found, err := b.readRange(ctx, "", ranges[i])
		if err != nil {
			return nil, err
		}
		there[i] = len(found) > 0
	}
	return there, nil
}

// deleteMarked deletes dead letters that are marked as replayed, then their marks.
func (b *Broker) deleteMarked(ctx context.Context, queue, marks string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	args := func(first ...any) []any {
		for _, id := range ids {
			first = append(first, id)
		}
		return first
	}
	if err := send(ctx, b.commands, newCommand(ctx, args("XDEL", queue)...)); err != nil {
		return err
	}
	return send(ctx, b.commands, newCommand(ctx, args("HDEL", marks)...))
}

// Copy implements [deadletter.Replayer].
func (b *Broker) Copy(ctx context.Context, stream, id string, fields []message.Field) (added bool, err error) {
	args := []any{0, id}
	for _, f := range fields {
		args = append(args, f.Name, f.Value)
	}
	err = b.onQueue(ctx, "replay by a copy from", stream, func(queue string) error {
		result, err := b.run(ctx, copyScript, []string{stream, queue}, args...)
		if !hasCode(err, "CROSSSLOT") {
			if err == nil {
				added, err = result.Bool()
			}
			return err
		}
		there, err := b.exist(ctx, queue, []deadletter.Item{{DeadLetter: id}})
		if err != nil || !there[0] {
			return err
		}
		marks := ownKey(stream, replayedKey)
		args[0] = 1
		if _, err = b.run(ctx, copyScript, []string{stream, marks}, args...); err != nil {
			return err
		}
		added = true
		return b.deleteMarked(ctx, queue, marks, []string{id})
	})
	return added, err
}

// AddDeadLetters implements [deadletter.Editor].
func (b *Broker) AddDeadLetters(ctx context.Context, stream string, entries [][]message.Field) error {
	return b.onQueue(ctx, "add to", stream, func(queue string) error {
		for batch := range slices.Chunk(entries, maxBodies) {
			pipe := b.commands.Pipeline()
			adds := make([]command, len(batch))
			for i, fields := range batch {
				args := []any{"XADD", queue, "*"}
				for _, f := range fields {
					args = append(args, f.Name, f.Value)
				}
				adds[i] = newCommand(ctx, args...)
			}
			enqueue(ctx, pipe, adds)
			_, _ = pipe.Exec(ctx) // each command has its own error
			for _, add := range adds {
				if add.Err() != nil {
					return add.Err()
				}
			}
		}
		return nil
	})
}

// DeleteDeadLetters implements [deadletter.Editor].
func (b *Broker) DeleteDeadLetters(ctx context.Context, stream string, ids []string) (deleted int, err error) {
	err = b.onQueue(ctx, "delete from", stream, func(queue string) error {
		for batch := range slices.Chunk(ids, maxBatch) {
			args := []any{"XDEL", queue}
			for _, id := range batch {
				args = append(args, id)
			}
			c := newCommand(ctx, args...)
			if err := send(ctx, b.commands, c); err != nil {
				return err
			}
			n, err := c.Int()
			if err != nil {
				return err
			}
			deleted += n
		}
		return nil
	})
	return deleted, err
}

// TrimDeadLetters implements [deadletter.Editor].
func (b *Broker) TrimDeadLetters(ctx context.Context, stream string, before time.Time) (trimmed int, err error) {
	err = b.onQueue(ctx, "trim", stream, func(queue string) error {
		c := newCommand(ctx, "XTRIM", queue, "MINID", "=", message.EntryID{Milliseconds: uint64(max(before.UnixMilli(), 0))}.String())
		if err := send(ctx, b.commands, c); err != nil {
			return err
		}
		trimmed, err = c.Int()
		return err
	})
	return trimmed, err
}

// The names of this engine's own keys beside a stream.
const (
	// liveKey, with a group's name after it, exists while an engine of the group shows
	// life.
	liveKey = "live:"
	// replayedKey is a hash of the dead letters whose messages were replayed, and
	// which may not be deleted yet.
	replayedKey = "replayed"
	// leaderKey holds the process that maintains the queue, and alertedKey exists
	// while an alert is held: being told, or told.
	leaderKey  = "dlq-leader"
	alertedKey = "dlq-alerted"
)

// Lead implements [deadletter.Elector].
func (b *Broker) Lead(ctx context.Context, stream, candidate string, lease time.Duration) (leads bool, err error) {
	err = b.onQueue(ctx, "elect who maintains", stream, func(string) error {
		key := ownKey(stream, leaderKey)
		if leads, err = b.setNew(ctx, key, candidate, lease); err != nil || leads {
			return err
		}
		holder := newCommand(ctx, "GET", key)
		if err := send(ctx, b.commands, holder); errors.Is(err, redis.Nil) {
			return nil // it ended in between: the next cycle elects
		} else if err != nil {
			return err
		}
		if leads = holder.Val() == candidate; leads {
			return send(ctx, b.commands, newCommand(ctx, "PEXPIRE", key, lease.Milliseconds()))
		}
		left := newCommand(ctx, "PTTL", key)
		if err := send(ctx, b.commands, left); err != nil {
			return err
		}
		if left.Val() == int64(-1) { // set by hand, without an end: it gets that of a lease
			return send(ctx, b.commands, newCommand(ctx, "PEXPIRE", key, lease.Milliseconds()))
		}
		return nil
	})
	return leads, err
}

// AlertDue implements [deadletter.Elector].
func (b *Broker) AlertDue(ctx context.Context, stream string, crossed bool, hold time.Duration) (due bool, err error) {
	err = b.onQueue(ctx, "note an alert of", stream, func(string) error {
		key := ownKey(stream, alertedKey)
		if !crossed {
			return send(ctx, b.commands, newCommand(ctx, "DEL", key))
		}
		due, err = b.setNew(ctx, key, "1", hold)
		return err
	})
	return due, err
}

// AlertTold implements [deadletter.Elector].
func (b *Broker) AlertTold(ctx context.Context, stream string, hold time.Duration) error {
	return b.onQueue(ctx, "note an alert of", stream, func(string) error {
		return send(ctx, b.commands, newCommand(ctx, "PEXPIRE", ownKey(stream, alertedKey), max(hold.Milliseconds(), 1)))
	})
}

// setNew sets a key for a while unless it exists, and reports whether it did.
func (b *Broker) setNew(ctx context.Context, key, value string, lasts time.Duration) (bool, error) {
	err := send(ctx, b.commands, newCommand(ctx, "SET", key, value, "NX", "PX", max(lasts.Milliseconds(), 1)))
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}
