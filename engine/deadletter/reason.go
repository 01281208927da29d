package deadletter

// Reason is why a message is in a dead-letter queue: one of a closed list.
type Reason string

// The reasons. What other programs wrote has none, and is [Unknown].
const (
	// Rejected: the handler said that the message can never be handled, or the
	// message could not be given to it.
	Rejected Reason = "rejected"
	// Exhausted: all of its attempts failed.
	Exhausted Reason = "exhausted"
	// Undecodable: the entry is no message in the form that the handler reads.
	Undecodable Reason = "undecodable"
	// Unhandled: a command of a type that no handler is registered for.
	Unhandled Reason = "unhandled"
	// Poison: processes that attempted it ended, time and again.
	Poison Reason = "poison"
	// Sequence: it follows a message of its aggregate into the queue.
	Sequence Reason = "sequence"
	// Unknown is what a dead letter without a reason is listed under. It is never
	// written.
	Unknown Reason = "unknown"
)

// Reasons are all that a dead letter may be listed under.
var Reasons = []Reason{Rejected, Exhausted, Undecodable, Unhandled, Poison, Sequence, Unknown}
