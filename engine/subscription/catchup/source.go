package catchup

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// longestWait bounds one wait for messages, so that stopping is prompt.
	longestWait = time.Second
	// ownEvery is how often a process on standby asks whether the subscription is
	// without an owner.
	ownEvery = time.Second
	// unsavedTicks times MessagesPerTick is how many messages may be handed out
	// above the saved position, and two reads more: what a process that dies had
	// in hand is among them. Those that need no handling are not counted: they are
	// never a reason to stop reading.
	unsavedTicks = 10
	// unsavedPause is how long reading waits while so many are.
	unsavedPause = 10 * time.Millisecond
	// skippedUnsaved is how many messages that need no handling are passed before
	// the position is saved for their sake alone. Saving writes one such message.
	skippedUnsaved = 1000
)

// Over returns what opens the sources of subscriptions to categories of a store.
// The store is closed by who opened it.
func Over(s Store) subscription.Opener { return opener{s} }

type opener struct{ store Store }

// Open implements [subscription.Opener].
func (o opener) Open(c subscription.Config, log *slog.Logger) subscription.Source {
	c = c.WithDefaults()
	return &source{
		store: o.store, log: log, name: c.Handler, category: c.Stream, perTick: c.MessagesPerTick, interval: c.PositionInterval,
		wait: min(c.BlockingTimeout, longestWait), saveSoon: make(chan struct{}, 1),
	}
}

// source implements [subscription.Source].
type source struct {
	store             Store
	log               *slog.Logger
	name, category    string
	perTick, interval int
	wait              time.Duration
	saveSoon          chan struct{} // has one token where Upkeep shall not wait for its next turn

	// These belong to the goroutine that calls Next.
	recovery []Failed // failed positions of an earlier run, to be read again
	read     int64    // the position read last
	idle     bool     // there was nothing above it when last waited for
	// ahead are failed positions above the saved one, left by a process that did
	// not stop in order: they come with the recovery, and not again when they are
	// read.
	ahead map[int64]bool
	// suspects is how many of the next messages up to suspectsEnd may be what ended
	// the last owner: each is taken by itself, and its attempt is on record before its
	// call.
	suspects    int
	suspectsEnd int64
	fence       int64 // the number of the ownership

	// saving is held while a change is put together and written, so that changes
	// reach the store in the order in which they came about.
	saving sync.Mutex

	mu       sync.Mutex
	owner    Ownership // nil while the process is none
	inflight map[int64]*taskState
	order    []*taskState // new messages in the order of their positions: the settled ones at its head move the position
	position int64        // all up to here is settled or failed
	saved    int64        // the position that the store has
	passed   int          // messages that the position moved over since it was saved
	handled  int          // those of them that were handed out
	ordered  int          // messages in order that were handed out
	resolved []Failed
	lost     []*subscription.Task // of an ownership that ended
}

// taskState is a task and what the store has of it.
type taskState struct {
	task    *subscription.Task // nil of messages that need no handling, of which one stands for all in a row
	count   int                // of messages that it stands for
	failed  Failed
	since   time.Time
	settled bool
	// metadata name the message, where the store knows its row alone.
	metadata json.RawMessage
	// recorded says that the store has a failed position for it, with attempts, and
	// written that it may have one: a reply was lost.
	recorded, written bool
	attempts          int
	called            bool // at a stop: a handler was called for it
}

// failure is what is written down of the task: as Protean, with the id of the
// message, not that of the store's row.
func (m *taskState) failure() Failed {
	if m.metadata == nil {
		return m.failed
	}
	var metadata struct{ Headers struct{ ID string } }
	if json.Unmarshal(m.metadata, &metadata) == nil && metadata.Headers.ID != "" {
		m.failed.MessageID = metadata.Headers.ID
	}
	m.metadata = nil
	return m.failed
}

// Next implements [subscription.Intake].
func (s *source) Next(ctx context.Context, limit int) ([]*subscription.Task, error) {
	owner, err := s.own(ctx)
	if err != nil {
		return nil, err
	}
	suspect, most := s.isSuspect(), limit
	if suspect {
		limit = 1
	}
	if len(s.recovery) > 0 {
		return s.readFailed(ctx, owner, limit)
	}
	if s.unsaved() >= unsavedTicks*s.perTick {
		if err := s.save(ctx, unsettledFor); err != nil {
			return nil, err
		}
		if s.unsaved() >= unsavedTicks*s.perTick { // what holds the position up has its time
			retry.Sleep(ctx, unsavedPause)
			return nil, nil
		}
	}
	if s.idle {
		found, err := s.store.Wait(ctx, s.category, s.read, s.wait)
		if _, replaced := errors.AsType[*AheadError](err); replaced {
			// What the store has of the position holds: the next turn begins there.
			s.disown(owner, "the event store was replaced; what was in flight is given up, and read again where the store still has it")
			return nil, errors.Join(err, owner.Release(ctx))
		}
		if err != nil || !found {
			return nil, err
		}
	}
	for {
		got, err := s.store.ReadCategory(ctx, s.category, s.read, limit)
		if err != nil {
			return nil, err
		}
		if s.idle = len(got) == 0; s.idle {
			return nil, nil
		}
		if suspect {
			got = upToMessage(got)
		}
		s.read = got[len(got)-1].GlobalPosition
		rows := len(got)
		got = slices.DeleteFunc(got, func(r message.Recorded) bool { return s.ahead[r.GlobalPosition] })
		tasks := s.enter(owner, got, nil, suspect)
		s.suspects = max(s.suspects-len(tasks)-(rows-len(got)), 0)
		if len(tasks) > 0 || suspect != s.isSuspect() {
			return tasks, nil
		}
		limit = min(limit*2, most) // of a suspect: what stands before it is no message to be handled
		select {
		case <-owner.Ended():
			return nil, nil
		default: // none of those was a message to be handled
		}
	}
}

// upToMessage cuts off what stands behind the first message to be handled.
func upToMessage(got []message.Recorded) []message.Recorded {
	for i, r := range got {
		if !isBookkeeping(r) {
			return got[:i+1]
		}
	}
	return got
}

// isSuspect reports whether the next message may be what ended the last owner.
func (s *source) isSuspect() bool {
	return s.suspects > 0 && (len(s.recovery) > 0 || s.read < s.suspectsEnd)
}

// own returns the ownership, and asks for it where there is none.
func (s *source) own(ctx context.Context) (Ownership, error) {
	s.mu.Lock()
	owner := s.owner
	s.mu.Unlock()
	if owner != nil {
		select {
		case <-owner.Ended():
			s.disown(owner, fenced)
		default:
			return owner, nil
		}
	}
	owner, err := s.store.Own(ctx, s.name, s.category)
	if errors.Is(err, ErrOwned) {
		retry.Sleep(ctx, ownEvery)
		return nil, subscription.ErrStandby
	}
	if err != nil {
		return nil, err
	}
	state := owner.State()
	s.recovery, s.read, s.idle, s.suspects, s.suspectsEnd = state.Failed, state.Position, false, 0, state.Head
	s.fence = state.Fence
	if state.Interrupted {
		s.suspects = (unsavedTicks + 2) * s.perTick
	}
	s.ahead = make(map[int64]bool)
	for _, f := range state.Failed {
		if f.Position > state.Position {
			s.ahead[f.Position] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.inflight, s.order, s.resolved = owner, make(map[int64]*taskState), nil, nil
	s.position, s.saved, s.passed, s.handled, s.ordered = state.Position, state.Position, 0, 0, 0
	return owner, nil
}

// fenced is what the log says of an ownership that ended by itself.
const fenced = "another process owns the subscription now, or the connection that held it is gone; what was in flight is left to the next owner"

// positionLost is what the log says where the position was deleted.
const positionLost = "the position of the subscription was deleted from the event store; what was in flight is given up, " +
	"and the subscription begins anew at what the store has of it: without any, at the first message"

// disown gives up what belongs to an ownership that ended, and logs why. Upkeep
// reports the tasks as lost.
func (s *source) disown(owner Ownership, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != owner {
		return // another goroutine has
	}
	s.owner = nil
	for _, m := range s.inflight {
		m.task.MarkLost()
		s.lost = append(s.lost, m.task)
	}
	clear(s.inflight)
	s.order, s.resolved = nil, nil
	s.log.Warn(why) //nolint:sloglint // one of three constants
	s.signal()
}

// unsaved is how many messages were handed out above the saved position.
func (s *source) unsaved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ordered + s.handled
}

// readFailed reads messages again that an earlier run left unsettled.
func (s *source) readFailed(ctx context.Context, owner Ownership, limit int) ([]*subscription.Task, error) {
	page := s.recovery[:min(limit, len(s.recovery))]
	positions := make([]int64, len(page))
	failed := make(map[int64]Failed, len(page))
	for i, f := range page {
		positions[i] = f.Position
		failed[f.Position] = f
	}
	got, err := s.store.ReadAt(ctx, s.category, positions)
	if err != nil {
		return nil, err
	}
	suspect := s.isSuspect()
	s.recovery = s.recovery[len(page):]
	tasks := s.enter(owner, got, failed, suspect)
	for _, r := range got {
		delete(failed, r.GlobalPosition)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range failed {
		delete(s.ahead, f.Position) // what appears there is another message
		s.log.WarnContext(ctx, "failed message is not in the event store any more; its failure is resolved", "position", f.Position)
		s.resolved = append(s.resolved, f)
	}
	return tasks, nil
}

// enter makes tasks of what was read. Of what was failed before, the store has
// the attempts on record; of a suspect it shall have the first one too. What needs
// no handling is passed.
func (s *source) enter(owner Ownership, got []message.Recorded, failed map[int64]Failed, suspect bool) []*subscription.Task {
	now := time.Now()
	tasks := make([]*subscription.Task, 0, len(got))
	states := make([]taskState, len(got))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != owner {
		return nil // it ended meanwhile
	}
	for i, r := range got {
		f, again := failed[r.GlobalPosition]
		if !again {
			f = Failed{
				Position: r.GlobalPosition, MessageID: r.ID, MessageType: r.Type,
				Stream: r.Stream, StreamPosition: r.Position,
			}
		}
		if isBookkeeping(r) {
			if again {
				s.resolved = append(s.resolved, f)
			} else {
				s.skip(f)
			}
			continue
		}
		m := &states[i]
		*m = taskState{count: 1, failed: f, metadata: r.Metadata, since: now, recorded: again, written: again, attempts: f.Attempts}
		if !again {
			s.order = append(s.order, m)
			s.ordered++
		}
		m.task = &subscription.Task{Delivery: r.Delivery(), Attempts: f.Attempts, Recorded: f.Attempts}
		m.task.Delivery.Stream, m.task.Delivery.Fence = s.category, s.fence
		m.task.Apart, m.task.Foreign = suspect, r.IsForeign()
		if !again && !suspect {
			m.task.Recorded = 1
		}
		s.inflight[r.GlobalPosition] = m
		tasks = append(tasks, m.task)
	}
	s.advance()
	return tasks
}

// skip puts a message that needs no handling in the order; one that stands behind
// another such takes its place.
func (s *source) skip(f Failed) {
	if last := len(s.order) - 1; last >= 0 && s.order[last].task == nil {
		s.order[last].failed = f
		s.order[last].count++
		return
	}
	s.order = append(s.order, &taskState{count: 1, failed: f, settled: true})
}

// isBookkeeping reports whether a message is none of an application: how far
// subscriptions are, and the snapshots of aggregates, which carry no metadata.
func isBookkeeping(r message.Recorded) bool {
	switch message.Category(r.Stream) {
	case "position", "failed", "recovery", PauseCategory:
		return true
	}
	return r.Type == "SNAPSHOT" && len(r.Metadata) == 0
}

// Close implements [subscription.Intake]: it writes down the position, and as failed
// what a handler was called for without success. What none was called for is read
// again by the next run, as if it had not been read; only where something behind it
// was handled it is written down too.
func (s *source) Close(ctx context.Context) error {
	s.mu.Lock()
	owner := s.owner
	for _, m := range s.inflight {
		m.failed.Attempts = m.task.Attempts
		if m.task.UnderWay {
			m.failed.Attempts++
		}
		m.called = m.failed.Attempts > 0
		m.recorded = m.recorded && m.attempts == m.failed.Attempts
	}
	s.mu.Unlock()
	if owner == nil {
		return nil
	}
	var backoff retry.Backoff
	for {
		err := s.stop(ctx)
		if err == nil || errors.Is(err, ErrFenced) {
			return owner.Release(ctx)
		}
		if !retry.Sleep(ctx, backoff.Next()) {
			return errors.Join(err, owner.Release(ctx))
		}
	}
}

// Reload implements [subscription.Reloader].
func (s *source) Reload(ctx context.Context, tasks []*subscription.Task) error {
	byPosition := make(map[int64]*subscription.Task, len(tasks))
	positions := make([]int64, len(tasks))
	for i, t := range tasks {
		byPosition[t.Delivery.Position], positions[i] = t, t.Delivery.Position
	}
	got, err := s.store.ReadAt(ctx, s.category, positions)
	if err != nil {
		return err
	}
	for _, r := range got {
		byPosition[r.GlobalPosition].Delivery.Fields = r.Delivery().Fields
	}
	return nil
}
