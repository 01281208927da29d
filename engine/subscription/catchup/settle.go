package catchup

import (
	"context"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Done implements [subscription.Settlement].
func (s *source) Done(tasks []*subscription.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tasks {
		m := s.inflight[t.Delivery.Position]
		m.settled = true
		if m.written {
			s.resolved = append(s.resolved, m.failed)
		}
		delete(s.inflight, t.Delivery.Position)
	}
	s.advance()
}

// Attempt implements [subscription.Settlement].
func (s *source) Attempt(ctx context.Context, tasks []*subscription.Task) (lost []*subscription.Task, err error) {
	return nil, s.write(ctx, tasks,
		func(c *Change, f Failed) {
			f.Attempts++ // the coming one
			c.Failed = append(c.Failed, f)
		},
		func(m *taskState) { m.recorded, m.task.Recorded = true, m.task.Attempts+1 })
}

// GiveUp implements [subscription.Settlement]: an event store is append-only, so
// the message stays where it is, and its position is written down as exhausted.
func (s *source) GiveUp(ctx context.Context, tasks []*subscription.Task) (lost []*subscription.Task, err error) {
	return nil, s.write(ctx, tasks,
		func(c *Change, f Failed) { c.Exhausted = append(c.Exhausted, f) },
		func(m *taskState) {
			m.settled = true
			delete(s.inflight, m.failed.Position)
		})
}

// write saves what is known of tasks, and then moves the position on.
func (s *source) write(ctx context.Context, tasks []*subscription.Task, add func(*Change, Failed), then func(*taskState)) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	var c Change
	states := make([]*taskState, len(tasks))
	s.mu.Lock()
	for i, t := range tasks {
		m := s.inflight[t.Delivery.Position]
		m.failed.Attempts = t.Attempts
		add(&c, m.failed)
		m.written = true
		states[i] = m
	}
	s.mu.Unlock()
	if err := s.store.SavePosition(ctx, s.name, s.category, c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range states {
		then(m)
	}
	s.advance()
	return nil
}
