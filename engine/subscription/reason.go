package subscription

import "slices"

// Reason is why a message was given up: the label `reason`.
type Reason string

const (
	// Rejected: the handler said that no attempt can succeed.
	Rejected Reason = "rejected"
	// Exhausted: its attempts are spent.
	Exhausted Reason = "exhausted"
	// Undecodable: it cannot be read, or is not what its checksum says.
	Undecodable Reason = "undecodable"
	// Unhandled: it is a command that nothing handles.
	Unhandled Reason = "unhandled"
	// Poison: processes that attempted it ended.
	Poison Reason = "poison"
)

// reasons are all of them.
var reasons = [...]Reason{Rejected, Exhausted, Undecodable, Unhandled, Poison}

func (r Reason) index() int { return slices.Index(reasons[:], r) }
