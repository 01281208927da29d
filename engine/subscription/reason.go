package subscription

import (
	"slices"

	"github.com/observatory-go/observatory/engine/deadletter"
)

// reasons are those for which the dispatcher gives messages up: the label `reason`.
var reasons = [...]deadletter.Reason{
	deadletter.Rejected, deadletter.Exhausted, deadletter.Undecodable, deadletter.Unhandled, deadletter.Poison,
}

func indexOf(why deadletter.Reason) int { return slices.Index(reasons[:], why) }
