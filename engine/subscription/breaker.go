package subscription

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// probeReadTime is how long a probe waits for a message that has not failed, where
// all in hand has.
const probeReadTime = 2 * time.Second

// breakerState is a state of a circuit breaker, in the words of the label `state`.
type breakerState string

const (
	breakerClosed   breakerState = "closed"    // messages are called
	breakerOpened   breakerState = "opened"    // none is
	breakerHalfOpen breakerState = "half_open" // one at a time is, until one is handled or fails
)

// breakerStates are all states, in the order of their figures.
var breakerStates = []breakerState{breakerClosed, breakerOpened, breakerHalfOpen}

// breaker is the circuit breaker of a subscription. Once so many messages in a row
// have failed nothing is called for a while, and then one message at a time: one
// that is handled closes the breaker, one that fails opens it again.
//
// A message fails by a call that failed or was rejected, and counts once in a row,
// however often it is attempted. What reached no handler, was postponed, or found
// the target down says nothing. The workers tell it of each call, so that what they
// have in hand is not called once it is open.
type breaker struct {
	threshold  int // 0 for no breaker
	reset      time.Duration
	gate       *gate
	log        *slog.Logger
	transition func(breakerState) // counts

	opened atomic.Int64 // how often it was: what a call comes to that began before says nothing

	mu       sync.Mutex
	state    breakerState
	row      uint32    // number of the row of failures; a message that counts in it has the same
	failures int       // messages of the row
	until    time.Time // when it is half open, while it is open
	readTill time.Time // until when a probe waits for a message that has not failed
}

func newBreaker(c *Config, g *gate, log *slog.Logger, transition func(breakerState)) *breaker {
	return &breaker{
		threshold: c.BreakerThreshold, reset: c.BreakerReset, gate: g, log: log, transition: transition, state: breakerClosed, row: 1,
	}
}

// permit is what the breaker allows for now.
type permit struct {
	opening int64 // under which it is given
	none    bool  // nothing may be called
	probe   bool  // one message at a time may be
	// readTill is until when a probe waits for a message that has not failed, and
	// changes when the permit changes by itself; zero for never.
	readTill, changes time.Time
}

// permit returns what is allowed at a time.
func (b *breaker) permit(now time.Time) permit {
	if b.threshold == 0 {
		return permit{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerOpened && !now.Before(b.until) {
		b.enter(breakerHalfOpen)
		b.readTill = now.Add(probeReadTime)
		b.log.Info("circuit breaker is half open: trying one message at a time")
	}
	p := permit{opening: b.opened.Load(), none: b.state == breakerOpened, probe: b.state == breakerHalfOpen}
	switch {
	case p.none:
		p.changes = b.until
	case p.probe:
		p.readTill = b.readTill
	}
	return p
}

// revoked reports whether the breaker has opened since a permit was given.
func (b *breaker) revoked(opening int64) bool { return b.opened.Load() != opening }

// observe takes what a call came to that was made under a permit.
func (b *breaker) observe(t *Task, opening int64) {
	failed := t.outcome == handler.Failed || t.outcome == handler.Rejected
	if b.threshold == 0 || t.notRun || t.uncalled || !failed && t.outcome != handler.Done {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	probing := b.state == breakerHalfOpen
	switch {
	case b.revoked(opening):
		return
	case !failed:
		b.failures = 0
		b.row++
		if probing {
			b.enter(breakerClosed)
			b.log.Info("circuit breaker is closed: a message was handled")
		}
		return
	case probing:
		b.log.Warn("circuit breaker is open again: the message that was tried failed", "for", b.reset.String(), "error", t.err)
	case t.row == b.row:
		return
	default:
		t.row = b.row
		if b.failures++; b.failures < b.threshold {
			return
		}
		b.log.Error("circuit breaker is open: nothing is called until it is tried again", "failed_in_a_row", b.failures,
			"for", b.reset.String(), "error", t.err)
	}
	b.opened.Add(1)
	b.failures = 0
	b.row++
	b.until = time.Now().Add(b.reset)
	b.enter(breakerOpened)
}

// enter changes the state.
func (b *breaker) enter(s breakerState) {
	b.state = s
	b.gate.set(CircuitOpen, s != breakerClosed)
	b.transition(s)
}
