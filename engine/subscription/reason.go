package subscription

import "slices"

// Reason is why a message was given up: the label `reason`.
type Reason string

const (
	// Rejected says that the handler knew that no attempt can succeed.
	Rejected Reason = "rejected"
	// Exhausted says that its attempts are spent.
	Exhausted Reason = "exhausted"
	// Undecodable says that it cannot be read, or is not what its checksum says.
	Undecodable Reason = "undecodable"
	// Unhandled says that it is a command that nothing handles.
	Unhandled Reason = "unhandled"
	// Poison says that processes that attempted it ended.
	Poison Reason = "poison"
)

// reasons are all of them.
var reasons = [...]Reason{Rejected, Exhausted, Undecodable, Unhandled, Poison}

func (r Reason) index() int { return slices.Index(reasons[:], r) }
