package consumergroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Done implements [subscription.Settlement]. What it takes is acknowledged with
// the next read, or within ackDelay.
func (s *source) Done(tasks []*subscription.Task) {
	s.inflight.addHandled(tasks)
	signal(s.added)
	for _, t := range tasks {
		if t.TakenOver {
			t.TakenOver = false
			s.Returned(t)
		}
	}
}

// flush acknowledges all that waits.
func (s *source) flush(ctx context.Context) error {
	return s.inflight.acknowledge(func(ids []string) (bool, error) {
		if len(ids) == 0 {
			return true, nil
		}
		err := (*s.membership.Load()).Ack(ctx, ids)
		if isGone(err) {
			return true, nil // with its group
		}
		return err == nil, err
	})
}

// Attempt implements [subscription.Settlement].
func (s *source) Attempt(ctx context.Context, tasks []*subscription.Task) ([]*subscription.Task, error) {
	lost, err := s.settle(ctx, tasks, func(m Membership, tasks []*subscription.Task) ([]string, error) {
		entries := make([]Entry, len(tasks))
		for i, t := range tasks {
			entries[i] = Entry{ID: t.Delivery.ID, Attempts: t.Attempts + 1}
		}
		return m.Attempt(ctx, entries)
	})
	if err == nil {
		s.inflight.recordAttempts(tasks)
	}
	return lost, err
}

// GiveUp implements [subscription.Settlement]: it writes a dead letter for each
// task, where the subscription keeps them, and acknowledges its entry.
func (s *source) GiveUp(ctx context.Context, tasks []*subscription.Task) ([]*subscription.Task, error) {
	if !s.deadLetters {
		s.Done(tasks)
		return nil, nil
	}
	return s.settle(ctx, tasks, func(m Membership, tasks []*subscription.Task) (lost []string, err error) {
		ids, entries := make([]string, len(tasks)), make([]deadletter.Entry, len(tasks))
		for i, t := range tasks {
			ids[i] = t.Delivery.ID
			entries[i] = deadletter.Compose(t.Delivery, deadletter.Metadata{
				OriginalStream: t.Delivery.Stream,
				OriginalID:     t.Delivery.ID,
				ConsumerGroup:  s.member.Group,
				Consumer:       s.member.Consumer,
				FailedAt:       t.FailedAt,
				RetryCount:     t.Attempts,
				Reason:         t.Reason,
				FailureReason:  t.Err.Error(),
			})
		}
		s.inflight.setTriedAt(entries)
		began := time.Now()
		if lost, err = m.DeadLetter(ctx, entries); err != nil {
			// A group that is made again has none of these entries pending: they
			// are claimed back, which those that may be written are not.
			if !isGone(err) && !errors.Is(err, ErrRefused) {
				s.inflight.noteTried(ids, began)
			}
			return nil, err
		}
		s.inflight.noteTried(lost, time.Time{}) // another consumer has them pending
		s.inflight.remove(slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(lost, id) }))
		return lost, nil
	})
}

// settle calls do with the tasks. What do finds lost may have been dropped with
// this consumer or its group: it is claimed back where that is so, and tried
// once more. A task that is not in the table any more is decided: it is lost, or
// an earlier try has done its work. settle returns all tasks that are lost.
func (s *source) settle(ctx context.Context, tasks []*subscription.Task,
	do func(Membership, []*subscription.Task) (lost []string, err error),
) (lost []*subscription.Task, err error) {
	for range 3 {
		var open []*subscription.Task
		for _, t := range tasks {
			if t.IsLost() {
				if !slices.Contains(lost, t) {
					lost = append(lost, t)
				}
			} else if s.inflight.has(t.Delivery.ID) {
				open = append(open, t)
			}
		}
		if len(open) == 0 {
			return lost, nil
		}
		m := s.membership.Load()
		s.inflight.exchange.RLock()
		ids, err := do(*m, open)
		s.inflight.exchange.RUnlock()
		if isGone(err) {
			if err = s.rejoin(ctx, m); err == nil {
				ids = idsOf(open)
			}
		}
		if err != nil || len(ids) == 0 {
			return lost, err
		}
		gone, err := s.renew(ctx)
		lost = append(lost, gone...)
		if err != nil {
			return lost, err
		}
		tasks = slices.DeleteFunc(open, func(t *subscription.Task) bool { return !slices.Contains(ids, t.Delivery.ID) })
	}
	return lost, fmt.Errorf("%d entries of %q were dropped from the group again and again", len(tasks), s.member.Stream)
}

func idsOf(tasks []*subscription.Task) []string {
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.Delivery.ID
	}
	return ids
}
