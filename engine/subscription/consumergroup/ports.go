package consumergroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
)

// ErrNoGroup is returned by the methods of a Membership whose group does not
// exist any more: it was destroyed, or its stream was deleted, renamed or
// restored without it. [Broker.Join] makes it again.
var ErrNoGroup = errors.New("consumer group does not exist")

// ErrRefused is wrapped by an error of DeadLetter that is the broker's own answer
// to an entry that stands alone: nothing was written.
var ErrRefused = errors.New("refused")

// AheadError is returned by Position for a group that has delivered an id beyond the
// last one of its stream: it was set there by hand, or its stream was replaced. What
// is published next would be skipped.
type AheadError struct {
	Stream, Group   string
	Delivered, Last message.EntryID
	// WayOut is what an operator can do.
	WayOut string
}

// Error names the two ids and the way out.
func (e *AheadError) Error() string {
	return fmt.Sprintf("group %q is at %s, beyond the last entry of stream %q, %s: reading on would skip what is published next; %s",
		e.Group, e.Delivered, e.Stream, e.Last, e.WayOut)
}

// Broker is what a broker with consumer groups offers to a subscription.
type Broker interface {
	// Join creates the group, and its stream, where they do not exist, and
	// returns this consumer's membership. Joining twice is harmless. It fails
	// while the broker cannot be reached, and where the key at the stream's
	// name is of another type; both may be tried again.
	//
	// A group that is created starts at m.Resume where that is set and the
	// stream's last generated id is not below it; where m.Resume is set and the
	// stream is behind it, the stream is another one and is read from its
	// beginning. Where m.Resume is 0-0 it starts as m.FromEnd says.
	Join(ctx context.Context, m Member) (Membership, error)
}

// Member is one consumer of one group on one stream.
type Member struct {
	Stream   string
	Group    string
	Consumer string
	// FromEnd starts a group that never existed at the stream's end; by default
	// it starts at the beginning.
	FromEnd bool
	// HeartbeatEvery is how often Heartbeat will be called.
	HeartbeatEvery time.Duration
	// Resume is the highest id that the group is known to have delivered. It is
	// set when a group that was joined before is joined again.
	Resume message.EntryID
}

// Membership is one consumer's place in a group. Its methods may be called side
// by side. None of them repeats a command silently: a reply that was lost is an
// error. Each but Bodies returns ErrNoGroup, wrapped, where the group is gone.
type Membership interface {
	Reader
	Settler
	Renewer
	Trimmer
	Successor
}

// Reader gets entries. The entries that it returns are pending for this
// consumer until they are settled.
//
// An entry whose delivery count no process could have reached (2^63-1 is a mark
// that others write) is returned with math.MaxInt attempts; it costs itself only.
type Reader interface {
	// Read acknowledges r.Acks and reads entries that the group has not
	// delivered yet, up to r.Max. It waits up to r.Block (at most a second)
	// where there are none, and less where HasReleased became true; zero does not wait, and only then may
	// acknowledgements share the round trip. The result is empty, not an error,
	// where nothing came. acked reports whether r.Acks were acknowledged, also
	// when err is not nil.
	Read(ctx context.Context, r Read) (got []message.Delivery, acked bool, err error)
	// Pending lists this consumer's own pending entries, oldest first, and
	// returns up to l.Max of those that are not known, with their bodies and
	// attempts. It changes no delivery count. next is the id after which the list
	// goes on; "" at its end.
	Pending(ctx context.Context, l List) (got []message.Delivery, next string, err error)
	// HasReleased reports whether entries may wait that departing engines released.
	// It costs no round trip: the answer may be two seconds old. Asked again and
	// again it is true where that is not known, and where the group is gone.
	HasReleased() bool
	// ClaimReleased takes over up to max entries that departing engines
	// released, or that have no owner (XNACK of Redis 8.8), oldest first, at no cost
	// to their delivery counts: one that was never attempted is then on record as a
	// read leaves it, and needs no Attempt before its first call. more says that
	// others are left.
	ClaimReleased(ctx context.Context, max int) (got []message.Delivery, more bool, err error)
	// Bodies reads entries by their ids, in the order given; one whose body is
	// gone has no fields. It does not ask for the group.
	Bodies(ctx context.Context, ids []string) ([]message.Delivery, error)
}

// Read says what to read and what to acknowledge on the way.
type Read struct {
	Max   int
	Block time.Duration
	Acks  []string
}

// List says which pending entries to list.
type List struct {
	// After is the id after which the list begins; "" for the first.
	After string
	Max   int
	// Known reports whether an entry is known and may be left out; nil knows
	// none.
	Known func(id string) bool
	// IDsOnly leaves the bodies out: what is only to be released needs none.
	IDsOnly bool
}

// Settler ends what Reader began. An entry that this consumer does not own any
// more is left alone and returned as lost.
type Settler interface {
	// Ack acknowledges entries.
	Ack(ctx context.Context, ids []string) error
	// Attempt records, before a call of the handler, how many attempts will
	// have been made with it.
	Attempt(ctx context.Context, entries []Entry) (lost []string, err error)
	// Release gives entries to the consumer called "released", from which any
	// engine of the group claims them at once, each with the number of attempts
	// made so far.
	Release(ctx context.Context, entries []Entry) (lost []string, err error)
	// DeadLetter writes each entry to the stream's dead-letter queue and
	// acknowledges the entry that it replaces: both or neither where one script
	// can do both, else written first and acknowledged second.
	//
	// An entry with a TriedAt that no consumer has pending is looked for, byte for
	// byte, among the newest of the queue, back to TriedAt and within a bound. If
	// it is there, nothing is left to do; otherwise it is written: a second dead
	// letter is better than none. It is lost only where another consumer has it
	// pending.
	DeadLetter(ctx context.Context, entries []deadletter.Entry) (lost []string, err error)
}

// Renewer keeps what is in flight.
type Renewer interface {
	// Renew resets the idle time of entries that are still this consumer's, and changes
	// no delivery count. The entries are given in the order in which they were
	// delivered to this consumer.
	//
	// An entry that no consumer has pending was dropped with this consumer
	// (XGROUP DELCONSUMER), or with its group, if no entry given before it is
	// still this consumer's: it is claimed back, with its Attempts written as
	// they are given, provided that its id is not above the group's position
	// and its body exists. One that may be settled is left as it is instead.
	// Everything else that is not this consumer's is lost.
	Renew(ctx context.Context, entries []Entry) (lost []string, err error)
	// Position is the id that the group has delivered last, and how many entries
	// its consumers have pending together. The error is an *AheadError where that is
	// beyond the stream's last.
	Position(ctx context.Context) (delivered message.EntryID, pending int, err error)
}

// Trimmer keeps a stream short.
type Trimmer interface {
	// Trim removes the oldest entries of the stream beyond r.MaxLen, of those that
	// every group of the stream has acknowledged, groups of other programs included. It finds and
	// removes them in one step, so that a group which is created meanwhile loses
	// nothing that it would get. A bounded number goes at once. Where a group of
	// r.Groups does not exist yet, nothing is removed.
	Trim(ctx context.Context, r Retention) (Trimmed, error)
}

// Retention is how much of a stream is kept.
type Retention struct {
	// MaxLen is how many entries.
	MaxLen int
	// Groups are those that will read the stream from its beginning, this member's
	// own aside.
	Groups []string
	// Floors are what members of this process may have of the stream. They hold for
	// FloorsFor in all processes that trim it: an entry that is in flight and was
	// dropped from the pending list, with its consumer or its group, is not known to
	// the broker until it is claimed back.
	Floors    []Floor
	FloorsFor time.Duration
}

// Floor is the lowest id that a consumer may have in flight, now or later.
type Floor struct {
	Group, Consumer string
	ID              message.EntryID
}

// Trimmed is what came of trimming.
type Trimmed struct {
	Removed int
	// Beyond is how many entries more than MaxLen there are now, and Group the group
	// that needs the oldest of all, or does not exist yet; "" where Beyond is 0.
	Beyond int
	Group  string
	// More says that the bound was reached: another call removes more.
	More bool
}

// Successor takes the place of consumers that are gone, and keeps this one from
// being taken for one of them.
type Successor interface {
	// Heartbeat shows the group that this consumer lives, where it has nothing
	// pending; where it has, Renew does. It deletes other consumers that have nothing
	// pending and have been idle for more than an hour, and returns those that have
	// something pending, without the one called "released".
	Heartbeat(ctx context.Context) ([]Consumer, error)
	// TakeOver claims the oldest entry that has been pending for the consumer
	// `from` for at least idle, and with it, up to a hundred, those before it whose
	// body is gone. Delivery counts stay as they are: an entry's Attempts are its
	// count, but for one that was never attempted, as in ClaimReleased.
	//
	// Nothing is claimed where `from` is not as it was seen: where it has another
	// number of entries pending than from.Pending, or was itself idle for less than
	// idle. So of several processes that saw the same, one takes over.
	TakeOver(ctx context.Context, from Consumer, idle time.Duration) ([]message.Delivery, error)
	// Leave deletes this consumer, if it has nothing pending.
	Leave(ctx context.Context) error
}

// Consumer is another consumer of the group, as the broker sees it.
type Consumer struct {
	Name    string
	Pending int
	// Idle is for how long the broker has not seen it. Not all that a consumer does
	// is seen: acknowledging is not, and waiting in a read is not by Redis 7.0.
	Idle time.Duration
}

// Entry is an entry in flight and the attempts made for it.
type Entry struct {
	ID       string
	Attempts int
	// MayBeSettled says that it may be acknowledged already, its dead letter being
	// written: it is renewed where it is pending, and never claimed back.
	MayBeSettled bool
}
