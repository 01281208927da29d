package subscription

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
)

// Source hands out seats in consumer groups: what a broker is to a
// subscription.
type Source interface {
	// Join creates the group if it does not exist (and its stream with it) and
	// returns this consumer's seat. Joining twice is harmless. It fails while
	// the broker cannot be reached, and where the key at the stream's name is
	// of another type; both may be tried again.
	Join(ctx context.Context, m Member) (Seat, error)
}

// Member is one consumer of one group on one stream.
type Member struct {
	Stream   string
	Group    string
	Consumer string
	// FromEnd starts a group that does not exist yet at the stream's end; by
	// default it starts at the beginning.
	FromEnd bool
}

// Seat is one consumer's place in a group. Its methods may be called side by
// side. None of them repeats a command silently: a reply that was lost is an
// error.
type Seat interface {
	Reader
	Settler
}

// Reader gets entries. The entries that it returns are pending for this
// consumer until they are settled.
type Reader interface {
	// Read acknowledges r.Acks and reads entries that the group has not got
	// yet, up to r.Max. It waits up to r.Block (at most a second) where there
	// are none; zero does not wait, and only then may acknowledgements share
	// the round trip. The result is empty, not an error, where nothing came.
	// acked reports whether r.Acks were acknowledged, also when err is not nil.
	Read(ctx context.Context, r Read) (got []message.Delivery, acked bool, err error)
	// Pending lists this consumer's own pending entries, bodies and calls
	// included, oldest first, after the id `after` ("" for the first), up to
	// max. It changes no delivery count.
	Pending(ctx context.Context, after string, max int) ([]message.Delivery, error)
	// Adopt takes over up to max entries that departing engines released, at
	// no cost to their delivery count.
	Adopt(ctx context.Context, max int) ([]message.Delivery, error)
}

// Read says what to read and what to acknowledge on the way.
type Read struct {
	Max   int
	Block time.Duration
	Acks  []string
}

// Settler ends what Reader began. Whatever was lost to another consumer in the
// meantime is left alone and returned.
type Settler interface {
	// Ack acknowledges entries.
	Ack(ctx context.Context, ids []string) error
	// Attempt records, before a call of the handler, how many calls will have
	// been made with it.
	Attempt(ctx context.Context, held []Held) (lost []string, err error)
	// Release gives entries to the holder whose entries are anybody's, each
	// with the number of calls made so far.
	Release(ctx context.Context, held []Held) (lost []string, err error)
	// Park writes each letter to the stream's dead-letter queue and
	// acknowledges its entry, both or neither.
	Park(ctx context.Context, letters []deadletter.Letter) (lost []string, err error)
}

// Held is an entry and the calls made for it.
type Held struct {
	ID    string
	Calls int
}
