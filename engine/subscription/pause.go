package subscription

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// pauseEvery is how often a process asks which of its subscriptions are paused,
	// and pauseTimeout how long it waits for the answer.
	pauseEvery   = time.Second
	pauseTimeout = 2 * time.Second
)

// Identity names a subscription across processes.
type Identity struct {
	// Stream is the stream, or the category of the event store.
	Stream string
	// Group is the consumer group.
	Group string
}

// PauseState is what an operator last said of a subscription: that it is paused, or
// that it is resumed.
type PauseState struct {
	Paused bool
	// By is who said so, At when, and Reason why. What is not known is empty.
	By     string
	At     time.Time
	Reason string
}

// Pauses is where it is kept which subscriptions are paused by hand, for all
// processes. Its implementations are comparable.
type Pauses interface {
	// PauseStates returns the states of subscriptions, those that could be read also
	// with an error; of one of which nothing was ever said, or long ago that it is
	// resumed, it is the zero value. It asks the server once, or each of its nodes. The
	// error is ErrNoPauses, wrapped, where this process may not read them.
	PauseStates(ctx context.Context, of []Identity) (map[Identity]PauseState, error)
}

// ErrNoPauses is wrapped by an error of PauseStates that no server's recovery mends:
// subscriptions of which nothing is known are not paused then.
var ErrNoPauses = errors.New("pauses cannot be read")

// pauseState is what a subscription knows of its pause. It is written by a
// PauseWatch.
type pauseState struct {
	known chan struct{}              // closed once it is known: until then nothing is read
	said  atomic.Pointer[PauseState] // nil until it is known
}

// PauseWatch keeps the subscriptions of a process informed of whether they are
// paused. The last answer holds while the server gives none.
type PauseWatch struct {
	pauses  Pauses
	log     *slog.Logger
	runners map[Identity][]*Runner
	of      []Identity
	failing bool
}

// NewPauseWatch returns what asks pauses.
func NewPauseWatch(pauses Pauses, log *slog.Logger) *PauseWatch {
	return &PauseWatch{pauses: pauses, log: log.With("component", "pauses"), runners: make(map[Identity][]*Runner)}
}

// Add has the watch keep a subscription informed, which handles nothing before it is
// known not to be paused. It is called before either runs.
func (w *PauseWatch) Add(r *Runner) {
	id := Identity{Stream: r.cfg.Stream, Group: r.cfg.Group}
	if w.runners[id] == nil {
		w.of = append(w.of, id)
	}
	w.runners[id] = append(w.runners[id], r)
	r.status.pause.known = make(chan struct{})
}

// Run asks every second, until ctx ends.
func (w *PauseWatch) Run(ctx context.Context) {
	tick := time.NewTicker(pauseEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.ask(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *PauseWatch) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	states, err := w.pauses.PauseStates(ctx, w.of)
	denied := errors.Is(err, ErrNoPauses)
	switch {
	case denied && !w.failing:
		w.log.ErrorContext(ctx, "must not read which subscriptions are paused; what was known last holds, and a subscription of which nothing is known runs", "error", err)
	case err != nil && ctx.Err() == context.Canceled:
		return
	case err != nil && !w.failing:
		w.log.ErrorContext(ctx, "cannot read which subscriptions are paused; what was known last holds, and a subscription of which nothing is known waits", "error", err)
	case err == nil && w.failing:
		w.log.InfoContext(ctx, "reading which subscriptions are paused again")
	}
	w.failing = err != nil
	for _, id := range w.of {
		state, read := states[id]
		for _, r := range w.runners[id] {
			if read || denied && r.status.pause.said.Load() == nil {
				r.tell(state)
			}
		}
	}
}

// tell takes what an operator last said of the subscription.
func (r *Runner) tell(s PauseState) {
	p := &r.status.pause
	s.At = s.At.Round(0).UTC() // so that states compare
	said := p.said.Load()
	if said != nil && s == *said {
		return
	}
	p.said.Store(&s)
	r.status.gate.set(Paused, s.Paused)
	var before PauseState
	if said == nil {
		close(p.known)
	} else {
		before = *said
	}
	switch {
	case s.Paused:
		r.log.Warn("subscription is paused; what is under way finishes, and nothing else is handled", "by", s.By, "since", s.At, "reason", s.Reason)
	case before.Paused && s.By != "":
		r.log.Info("subscription is resumed", "by", s.By, "at", s.At, "reason", s.Reason, "was_paused_by", before.By)
	case before.Paused:
		r.log.Info("subscription is not paused any more", "was_paused_by", before.By)
	}
	r.status.signalGate()
}

// wait waits until it is known whether the subscription is paused, or ctx ends.
func (p *pauseState) wait(ctx context.Context) {
	if p.known == nil { // it has no watch
		return
	}
	select {
	case <-p.known:
	case <-ctx.Done():
	}
}
