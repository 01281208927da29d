package catchup

import (
	"context"
	"errors"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Done implements [subscription.Settlement].
func (s *source) Done(tasks []*subscription.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tasks {
		m := s.inflight[t.Delivery.Position]
		if m == nil || m.task != t {
			continue // of an ownership that ended
		}
		m.settled = true
		if m.written {
			m.failed.Attempts = t.Attempts + 1
			s.resolved = append(s.resolved, m.failure())
		}
		delete(s.inflight, t.Delivery.Position)
	}
	s.advance()
}

// Attempt implements [subscription.Settlement].
func (s *source) Attempt(ctx context.Context, tasks []*subscription.Task) (lost []*subscription.Task, err error) {
	return s.record(ctx, tasks,
		func(c *Change, f Failed) {
			f.Attempts++ // the coming one
			c.Failed = append(c.Failed, f)
		},
		func(m *taskState) {
			m.recorded, m.attempts = true, m.task.Attempts+1
			m.task.Recorded = m.attempts
		})
}

// GiveUp implements [subscription.Settlement]: an event store is append-only, so
// the message stays where it is, and its position is written down as exhausted.
func (s *source) GiveUp(ctx context.Context, tasks []*subscription.Task) (lost []*subscription.Task, err error) {
	return s.record(ctx, tasks,
		func(c *Change, f Failed) { c.Exhausted = append(c.Exhausted, f) },
		func(m *taskState) {
			m.settled = true
			delete(s.inflight, m.failed.Position)
		})
}

// record saves what is known of tasks, and then moves the position on. Those of
// an ownership that ended are lost.
func (s *source) record(ctx context.Context, tasks []*subscription.Task, add func(*Change, Failed), then func(*taskState)) (lost []*subscription.Task, err error) {
	s.saving.Lock()
	defer s.saving.Unlock()
	var c Change
	states := make([]*taskState, 0, len(tasks))
	s.mu.Lock()
	for _, t := range tasks {
		m := s.inflight[t.Delivery.Position]
		if m == nil || m.task != t {
			lost = append(lost, t)
			continue
		}
		m.failed.Attempts = t.Attempts
		add(&c, m.failure())
		m.written = true
		states = append(states, m)
	}
	if len(states) == 0 {
		s.mu.Unlock()
		return lost, nil
	}
	err = s.write(ctx, c, nil)
	if errors.Is(err, ErrFenced) {
		return tasks, nil
	}
	if err != nil {
		return lost, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range states {
		if s.inflight[m.failed.Position] == m {
			then(m)
		} else { // the ownership ended meanwhile
			lost = append(lost, m.task)
		}
	}
	s.advance()
	return lost, nil
}
