package subscription

import (
	"sync/atomic"
)

// Status is what a subscription is doing.
type Status struct {
	Domain, Handler, Group, Stream string
	// Joined says that the subscription reads: it is a member of its group, or
	// has its position.
	Joined bool
	// Gate are the reasons for which the subscription is held up; empty where it
	// is not.
	Gate []GateReason
	// Pause is what an operator last said of the subscription, as far as this process
	// knows.
	Pause PauseState
	// Waiting is how many messages wait for another attempt, or for their dead
	// letter to be written.
	Waiting int
	// DeadLettersWaiting is how many dead letters could not be written yet.
	DeadLettersWaiting int
	// Calls is how many workers are at a handler now.
	Calls int
	// StuckCalls is how many calls run beyond their time-out.
	StuckCalls int
}

// status is read by probes and scrapes while the dispatcher writes it.
type status struct {
	gate               gate
	gateChanged        chan struct{} // has one token where the dispatcher shall see to the gate
	pause              pauseState
	joined             atomic.Bool
	readingSince       atomic.Int64 // when the reads began that found nothing, in nanoseconds since 1970; 0 between others
	open               atomic.Int64
	waiting            atomic.Int64
	deadLettersWaiting atomic.Int64
	calls              atomic.Int64
	stuckCalls         atomic.Int64
}

// signalGate has the dispatcher see to the gate, which another goroutine has set.
func (s *status) signalGate() {
	select {
	case s.gateChanged <- struct{}{}:
	default:
	}
}

// end says that the subscription runs no more: what waited was given back.
func (s *status) end() {
	s.joined.Store(false)
	s.waiting.Store(0)
	s.deadLettersWaiting.Store(0)
	s.open.Store(0)
	s.calls.Store(0)
	s.stuckCalls.Store(0)
	for _, why := range gateReasons {
		if why != Paused && why != Draining { // which last until a person says so
			s.gate.set(why, false)
		}
	}
}
