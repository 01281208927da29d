package catchup

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// saveEvery is how often the position is saved.
	saveEvery = time.Second
	// unsettledFor is how long a message may hold the position up before it is
	// written down as failed.
	unsettledFor = time.Second
)

// Upkeep implements [subscription.Intake]: it saves the position.
func (s *source) Upkeep(ctx context.Context, _ chan<- []*subscription.Task) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.save(ctx)
		if err != nil && !failing {
			s.log.ErrorContext(ctx, "cannot save the position; trying again until it works", "error", err)
		}
		failing = err != nil
	}
}

// save writes down as failed what is unsettled for long, what was resolved, and
// the position that this leads to.
func (s *source) save(ctx context.Context) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	var written []*taskState
	c := Change{Resolved: s.resolved}
	for _, m := range s.inflight {
		if !m.recorded && time.Since(m.since) >= unsettledFor {
			written = append(written, m)
			c.Failed = append(c.Failed, m.failed)
		}
	}
	// The position is that which all of this leads to; it moves only when the
	// change is written.
	for _, m := range written {
		m.recorded, m.written = true, true
	}
	s.advance()
	if s.position > s.saved {
		c.Position = s.position
	}
	s.resolved = nil
	s.mu.Unlock()
	if c.isEmpty() {
		return nil
	}
	err := s.store.SavePosition(ctx, s.name, s.category, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// Written again with the next change: the position has moved on here, but
		// not in the store.
		s.resolved = append(c.Resolved, s.resolved...)
		for _, m := range written {
			if m.settled {
				continue // resolved meanwhile, and resolving what never failed is harmless
			}
			m.recorded = false
		}
		return err
	}
	s.saved = max(s.saved, c.Position)
	return nil
}

// advance moves the position over what is settled, or failed and on record.
func (s *source) advance() {
	n := 0
	for n < len(s.order) && (s.order[n].settled || s.order[n].recorded) {
		s.position = s.order[n].failed.Position
		s.order[n] = nil
		n++
	}
	s.order = s.order[n:]
}
