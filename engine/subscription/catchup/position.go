package catchup

import (
	"context"
	"errors"
	"time"

	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// saveEvery is how often the position is saved at least.
	saveEvery = time.Second
	// unsettledFor is how long a message may hold the position up before it is
	// written down as failed.
	unsettledFor = time.Second
)

// Upkeep implements [subscription.Intake]: it saves the position, at the
// interval and each second, and reports what an ownership that ended had in
// flight.
func (s *source) Upkeep(ctx context.Context, lost chan<- []*subscription.Task) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.saveSoon:
			if failing {
				continue // at its next turn
			}
		}
		err := s.save(ctx, unsettledFor)
		if errors.Is(err, ErrFenced) {
			err = nil // said where it was found out
		}
		if err != nil && !failing && ctx.Err() == nil { // which a stop ends
			s.log.ErrorContext(ctx, "cannot save the position; trying again until it works", "error", err)
		}
		failing = err != nil
		s.mu.Lock()
		tasks := s.lost
		s.lost = nil
		s.mu.Unlock()
		if len(tasks) == 0 {
			continue
		}
		select {
		case lost <- tasks:
		case <-ctx.Done():
			return
		}
	}
}

// signal has Upkeep save without waiting for its next turn.
func (s *source) signal() {
	select {
	case s.saveSoon <- struct{}{}:
	default:
	}
}

// save writes down what was resolved, and the position that this leads to. What
// is unsettled for longer than a duration and holds the position up is written
// down as failed.
func (s *source) save(ctx context.Context, unsettled time.Duration) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if s.owner == nil {
		s.mu.Unlock()
		return nil
	}
	var c Change
	last := len(s.order) - 1 // behind it nothing is settled, and nothing held up
	for last >= 0 && !s.order[last].settled && !s.order[last].recorded {
		last--
	}
	var written []*taskState
	for _, m := range s.order[:last+1] {
		if !m.settled && !m.recorded && time.Since(m.since) >= unsettled {
			written = append(written, m)
			c.Failed = append(c.Failed, m.failure())
		}
	}
	return s.write(ctx, c, written)
}

// stop writes down all that is unsettled, and that nothing is held any more.
func (s *source) stop(ctx context.Context) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if s.owner == nil {
		s.mu.Unlock()
		return ErrFenced
	}
	c := Change{Stopped: true}
	var written []*taskState
	add := func(m *taskState) {
		written = append(written, m)
		c.Failed = append(c.Failed, m.failure())
	}
	for _, m := range s.inflight {
		if m.written && !m.recorded {
			add(m)
		}
	}
	last := len(s.order) - 1
	for last >= 0 && !s.order[last].settled && !s.order[last].written && !s.order[last].called {
		last--
	}
	for _, m := range s.order[:last+1] {
		if !m.settled && !m.written {
			add(m)
		}
	}
	return s.write(ctx, c, written)
}

// write saves a change, with what was resolved and the position that all of this
// leads to. The tasks written are those that it has as failed. Both locks are
// held; it gives the second back.
func (s *source) write(ctx context.Context, c Change, written []*taskState) error {
	owner := s.owner
	for _, m := range written {
		m.recorded, m.written, m.attempts = true, true, m.failed.Attempts
	}
	c.Resolved, s.resolved = s.resolved, nil
	s.advance()
	// A subscription to all messages reads the positions that it saves: those move
	// its position, and must not be a reason to save it again.
	if s.position > s.saved && (s.handled > 0 || s.passed >= skippedUnsaved || c.Stopped || !c.isEmpty()) {
		c.Position = s.position
	}
	passed, handled := s.passed, s.handled
	s.mu.Unlock()
	if c.isEmpty() {
		return nil
	}
	err := owner.Save(ctx, c)
	if errors.Is(err, ErrFenced) {
		why := fenced
		if errors.Is(err, ErrPositionLost) {
			why = positionLost
		}
		s.disown(owner, why)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// Written again with the next change: the position has moved on here, but
		// not in the store.
		s.resolved = append(c.Resolved, s.resolved...)
		for _, m := range written {
			if !m.settled { // else resolved meanwhile, and resolving what never failed is harmless
				m.recorded = false
			}
		}
		return err
	}
	if c.Position > 0 {
		s.saved = c.Position
		s.passed -= passed
		s.handled -= handled
	}
	return nil
}

// advance moves the position over what is settled, or failed and on record.
func (s *source) advance() {
	n := 0
	for n < len(s.order) && (s.order[n].settled || s.order[n].recorded) {
		s.position = s.order[n].failed.Position
		s.passed += s.order[n].count
		if s.order[n].task != nil {
			s.handled++
			s.ordered--
		}
		s.order[n] = nil
		n++
	}
	s.order = s.order[n:]
	if s.handled >= s.interval {
		s.signal()
	}
}
