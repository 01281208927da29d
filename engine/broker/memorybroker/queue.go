package memorybroker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
)

// onQueue runs one operation on the queue of a stream, which is empty where it does
// not exist; what names it in errors.
func (b *Broker) onQueue(ctx context.Context, what, name string, operation func(queue *stream) error) error {
	queue := deadletter.QueueOf(name)
	return b.do(ctx, what+" "+queue, func() error {
		s := b.streams[queue]
		if s == nil {
			s = &stream{name: queue}
		}
		return operation(s)
	})
}

// State implements [deadletter.Reader].
func (b *Broker) State(ctx context.Context, name string) (s deadletter.State, err error) {
	err = b.onQueue(ctx, "ask about", name, func(queue *stream) error {
		if s.Depth = len(queue.entries); s.Depth > 0 {
			s.Newest = queue.entries[s.Depth-1].text
		}
		return nil
	})
	return s, err
}

// DeadLetters implements [deadletter.Reader].
func (b *Broker) DeadLetters(ctx context.Context, name string, page deadletter.Page) (got []message.Delivery, err error) {
	err = b.onQueue(ctx, "read", name, func(queue *stream) error {
		after, err := parseID(page.After)
		if err != nil {
			return err
		}
		until := queue.last
		if page.Until != "" {
			if until, err = parseID(page.Until); err != nil {
				return err
			}
		}
		for _, e := range queue.from(queue.position(after)) {
			if len(got) >= page.Max || e.id.Compare(until) > 0 {
				break
			}
			got = append(got, message.Delivery{Stream: name, ID: e.text, Fields: copyFields(e.fields)})
		}
		return nil
	})
	return got, err
}

// Groups implements [deadletter.Replayer]. Every group is of an engine of this
// process.
func (b *Broker) Groups(ctx context.Context, name string) (groups []deadletter.Group, err error) {
	err = b.do(ctx, "list the groups of "+name, func() error {
		if s := b.streams[name]; s != nil {
			for group := range s.groups {
				groups = append(groups, deadletter.Group{Name: group, Live: true})
			}
		}
		slices.SortFunc(groups, func(a, b deadletter.Group) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return groups, err
}

// Replay implements [deadletter.Replayer].
func (b *Broker) Replay(ctx context.Context, r deadletter.Replay) (outcomes []deadletter.Outcome, err error) {
	err = b.onQueue(ctx, fmt.Sprintf("replay to group %q from", r.Group), r.Stream, func(queue *stream) error {
		s := b.streams[r.Stream]
		if s == nil || s.groups[r.Group] == nil {
			return deadletter.ErrNoGroup
		}
		g := s.groups[r.Group]
		consumer := r.Consumer
		if consumer == "" {
			consumer = released
		}
		for _, item := range r.Items {
			id, err := message.ParseEntryID(item.Original)
			if err != nil {
				return err
			}
			outcome, original := deadletter.Claimed, s.entry(id)
			switch {
			case queue.find(item.DeadLetter) == nil:
				outcome = deadletter.Gone
			case original == nil:
				outcome = deadletter.Absent
			case g.pending[item.Original] != nil:
				outcome = deadletter.AlreadyPending
			case id.Compare(g.delivered) > 0:
				outcome = deadletter.Undelivered
			default:
				c := g.consumer(consumer)
				g.pending[item.Original] = &pending{entry: original, owner: c}
				c.holds++
			}
			if outcome != deadletter.Gone && outcome != deadletter.Absent {
				queue.remove(item.DeadLetter)
			}
			outcomes = append(outcomes, outcome)
		}
		return nil
	})
	return outcomes, err
}

// Copy implements [deadletter.Replayer].
func (b *Broker) Copy(ctx context.Context, name, deadLetter string, fields []message.Field) (added bool, err error) {
	err = b.onQueue(ctx, "replay by a copy from", name, func(queue *stream) error {
		if added = queue.remove(deadLetter); added {
			b.stream(name).add(copyFields(fields))
		}
		return nil
	})
	return added, err
}

// AddDeadLetters implements [deadletter.Editor].
func (b *Broker) AddDeadLetters(ctx context.Context, name string, entries [][]message.Field) error {
	return b.do(ctx, "add to "+deadletter.QueueOf(name), func() error {
		for _, fields := range entries {
			b.stream(deadletter.QueueOf(name)).add(copyFields(fields))
		}
		return nil
	})
}

// DeleteDeadLetters implements [deadletter.Editor].
func (b *Broker) DeleteDeadLetters(ctx context.Context, name string, ids []string) (deleted int, err error) {
	err = b.onQueue(ctx, "delete from", name, func(queue *stream) error {
		for _, id := range ids {
			if queue.remove(id) {
				deleted++
			}
		}
		return nil
	})
	return deleted, err
}

// TrimDeadLetters implements [deadletter.Editor].
func (b *Broker) TrimDeadLetters(ctx context.Context, name string, before time.Time) (trimmed int, err error) {
	err = b.onQueue(ctx, "trim", name, func(queue *stream) error {
		for len(queue.entries) > 0 && queue.entries[0].id.Milliseconds < uint64(max(before.UnixMilli(), 0)) {
			queue.remove(queue.entries[0].text)
			trimmed++
		}
		return nil
	})
	return trimmed, err
}

// find returns the entry of an id as readers know it; nil where there is none.
func (s *stream) find(text string) *entry {
	id, err := message.ParseEntryID(text)
	if err != nil {
		return nil
	}
	return s.entry(id)
}

// remove takes an entry out of a dead-letter queue. The positions of those behind it
// move up by one.
func (s *stream) remove(text string) bool {
	e := s.find(text)
	if e == nil {
		return false
	}
	i := e.position - s.dropped
	s.entries = slices.Delete(s.entries, i, i+1)
	if i == 0 {
		s.dropped++
	}
	for _, behind := range s.entries[i:] {
		if i > 0 {
			behind.position--
		}
	}
	for _, g := range s.groups {
		if i > 0 && g.next > e.position {
			g.next--
		}
		g.next = max(g.next, s.dropped)
	}
	return true
}

// Lead implements [deadletter.Elector]: there is one process.
func (b *Broker) Lead(ctx context.Context, name, _ string, _ time.Duration) (bool, error) {
	err := b.onQueue(ctx, "elect who maintains", name, func(*stream) error { return nil })
	return err == nil, err
}

// AlertDue implements [deadletter.Elector].
func (b *Broker) AlertDue(ctx context.Context, name string, crossed bool, hold time.Duration) (due bool, err error) {
	err = b.onQueue(ctx, "note an alert of", name, func(*stream) error {
		if b.alerted == nil {
			b.alerted = make(map[string]time.Time)
		}
		if !crossed {
			delete(b.alerted, name)
			return nil
		}
		if due = !time.Now().Before(b.alerted[name]); due {
			b.alerted[name] = time.Now().Add(hold)
		}
		return nil
	})
	return due, err
}

// AlertTold implements [deadletter.Elector].
func (b *Broker) AlertTold(ctx context.Context, name string, hold time.Duration) error {
	return b.onQueue(ctx, "note an alert of", name, func(*stream) error {
		if time.Now().Before(b.alerted[name]) {
			b.alerted[name] = time.Now().Add(hold)
		}
		return nil
	})
}
