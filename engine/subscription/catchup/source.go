package catchup

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

// longestWait bounds one wait for messages, so that stopping is prompt.
const longestWait = time.Second

// Over returns what opens the sources of subscriptions to categories of a store.
// The store is closed by who opened it.
func Over(s Store) subscription.Opener { return opener{s} }

type opener struct{ store Store }

// Open implements [subscription.Opener].
func (o opener) Open(c subscription.Config, log *slog.Logger) subscription.Source {
	return &source{
		store: o.store, log: log, name: c.Handler, category: c.Stream,
		wait: min(c.BlockingTimeout, longestWait), inflight: make(map[int64]*taskState),
	}
}

// source implements [subscription.Source].
type source struct {
	store          Store
	log            *slog.Logger
	name, category string
	wait           time.Duration

	// These belong to the goroutine that calls Next.
	loaded   bool
	recovery []Failed // failed positions of an earlier run, to be read again
	read     int64    // the position read last
	// ahead are failed positions above the saved one, left by a process that did
	// not stop in order: they come with the recovery, and not again when they are
	// read.
	ahead map[int64]bool

	// saving is held while a change is put together and written, so that changes
	// reach the store in the order in which they came about.
	saving sync.Mutex

	mu       sync.Mutex
	inflight map[int64]*taskState
	order    []*taskState // new messages in the order of their positions: the settled ones at its head move the position
	position int64        // all up to here is settled or failed
	saved    int64        // the position that the store has
	resolved []Failed
}

// taskState is a task and what the store has of it.
type taskState struct {
	task    *subscription.Task
	failed  Failed
	since   time.Time
	settled bool
	// recorded says that the store has a failed position for it, and written that
	// it may have one: a reply was lost.
	recorded, written bool
}

// Next implements [subscription.Intake].
func (s *source) Next(ctx context.Context, max int) ([]*subscription.Task, error) {
	if !s.loaded {
		state, err := s.store.LoadPosition(ctx, s.name, s.category)
		if err != nil {
			return nil, err
		}
		s.loaded, s.recovery, s.read = true, state.Failed, state.Position
		s.ahead = make(map[int64]bool)
		for _, f := range state.Failed {
			if f.Position > state.Position {
				s.ahead[f.Position] = true
			}
		}
		s.mu.Lock()
		s.position, s.saved = state.Position, state.Position
		s.mu.Unlock()
	}
	if len(s.recovery) > 0 {
		return s.readFailed(ctx, max)
	}
	got, err := s.store.ReadCategory(ctx, s.category, s.read, max)
	if err == nil && len(got) == 0 {
		if err = s.store.Wait(ctx, s.category, s.read, s.wait); err == nil {
			got, err = s.store.ReadCategory(ctx, s.category, s.read, max)
		}
	}
	if err != nil || len(got) == 0 {
		return nil, err
	}
	s.read = got[len(got)-1].GlobalPosition
	got = slices.DeleteFunc(got, func(r message.Recorded) bool { return s.ahead[r.GlobalPosition] })
	return s.enter(got, nil), nil
}

// readFailed reads messages again that an earlier run left unsettled.
func (s *source) readFailed(ctx context.Context, max int) ([]*subscription.Task, error) {
	page := s.recovery[:min(max, len(s.recovery))]
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
	s.recovery = s.recovery[len(page):]
	tasks := s.enter(got, failed)
	for _, r := range got {
		delete(failed, r.GlobalPosition)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range failed {
		s.log.WarnContext(ctx, "failed message is not in the event store any more; its failure is resolved", "position", f.Position)
		s.resolved = append(s.resolved, f)
	}
	return tasks, nil
}

// enter makes tasks of what was read. Of what was failed before, the store has
// the attempts on record.
func (s *source) enter(got []message.Recorded, failed map[int64]Failed) []*subscription.Task {
	now := time.Now()
	tasks := make([]*subscription.Task, len(got))
	states := make([]taskState, len(got))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range got {
		f, again := failed[r.GlobalPosition]
		if !again {
			f = Failed{
				Position: r.GlobalPosition, MessageID: r.ID, MessageType: r.Type,
				Stream: r.Stream,
			}
		}
		t := &subscription.Task{Delivery: r.Delivery(), Attempts: f.Attempts, Recorded: f.Attempts}
		t.Delivery.Stream = s.category
		if !again {
			t.Recorded = 1
		}
		states[i] = taskState{task: t, failed: f, since: now, recorded: again, written: again}
		s.inflight[r.GlobalPosition] = &states[i]
		if !again {
			s.order = append(s.order, &states[i])
		}
		tasks[i] = t
	}
	return tasks
}

// Close implements [subscription.Intake]: it writes down the position, and each
// unsettled message as failed, to be read again by the next run.
func (s *source) Close(ctx context.Context) error {
	if !s.loaded {
		return nil
	}
	s.mu.Lock()
	for _, m := range s.inflight {
		m.since = time.Time{}
		m.failed.Attempts = m.task.Attempts
		if m.task.UnderWay {
			m.failed.Attempts++
		}
		m.recorded = false
	}
	s.mu.Unlock()
	var backoff retry.Backoff
	for {
		err := s.save(ctx)
		if err == nil || !retry.Sleep(ctx, backoff.Next()) {
			return err
		}
	}
}
