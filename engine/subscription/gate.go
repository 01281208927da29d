package subscription

import (
	"slices"
	"sync/atomic"
)

// GateReason is why a subscription is held up.
type GateReason string

// TargetDown says that what the handler depends on does not answer: one message
// at a time is tried, with backoff, until it does.
const TargetDown GateReason = "target_down"

// Standby says that another process runs the subscription.
const Standby GateReason = "standby"

// CircuitOpen says that so many messages in a row have failed as the circuit
// breaker allows: nothing is called for a while, and then one message at a time,
// until one is handled.
const CircuitOpen GateReason = "circuit_open"

// Paused says that an operator paused the subscription: nothing is called until one
// resumes it.
const Paused GateReason = "paused"

// Draining says that the process takes no new messages, as it does before it is
// stopped.
const Draining GateReason = "draining"

// gateReasons are all reasons, in the order of their bits.
var gateReasons = []GateReason{TargetDown, Standby, CircuitOpen, Paused, Draining}

// byHand are the bits of the reasons for which nothing is called until a person says
// so.
var byHand = uint32(1)<<slices.Index(gateReasons, Paused) | uint32(1)<<slices.Index(gateReasons, Draining)

// gate is open where no reason holds the subscription up. It is set and read from any
// goroutine.
type gate struct{ closed atomic.Uint32 }

func (g *gate) set(why GateReason, closed bool) {
	for i, r := range gateReasons {
		if bit := uint32(1) << i; r == why && closed {
			g.closed.Or(bit)
		} else if r == why {
			g.closed.And(^bit)
		}
	}
}

// is reports whether the gate is closed for this reason.
func (g *gate) is(why GateReason) bool {
	for i, r := range gateReasons {
		if r == why {
			return g.closed.Load()&(1<<i) != 0
		}
	}
	return false
}

// closedFor is 1 where the gate is closed for this reason, else 0.
func (g *gate) closedFor(why GateReason) int64 {
	if g.is(why) {
		return 1
	}
	return 0
}

// holdsReading reports whether batches are read only when one is wanted.
func (g *gate) holdsReading() bool { return g.is(TargetDown) || g.is(CircuitOpen) || g.holdsCalls() }

// holdsCalls reports whether nothing is called, which is asked before each call.
func (g *gate) holdsCalls() bool { return g.closed.Load()&byHand != 0 }

// reasons are those for which the gate is closed.
func (g *gate) reasons() (closed []GateReason) {
	bits := g.closed.Load()
	for i, r := range gateReasons {
		if bits&(1<<i) != 0 {
			closed = append(closed, r)
		}
	}
	return closed
}
