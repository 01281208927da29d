package redisbroker

import (
	"time"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/message"
)

// ageOf is how long before now the entry of an id was added, in seconds. It is
// unknown where the entry was given an id that is no time: Redis has had streams
// since 2017.
func ageOf(id message.EntryID, now time.Time) collector.Value {
	const firstStreams = 1483228800000 // 2017-01-01
	if id.Milliseconds < firstStreams || now.IsZero() {
		return collector.Value{}
	}
	age := (float64(now.UnixMicro()) - float64(id.Milliseconds)*1000) / 1e6
	return collector.Known(max(0, age))
}

// count is a figure of Redis that may be NULL, or that it does not have.
type count struct {
	n     int64
	known bool
}

func (c count) value() collector.Value {
	return collector.Value{V: float64(c.n), Known: c.known}
}

// streamState is what XINFO STREAM says.
type streamState struct {
	length     int64
	last       message.EntryID // last-generated-id
	first      message.EntryID // of the oldest entry there is; 0-0 in an empty stream
	added      count           // entries-added: Redis 7
	maxDeleted message.EntryID // max-deleted-entry-id: Redis 7; 0-0 where nothing was
	entryBytes int64           // of the larger of the first and the last entry; 0 in an empty stream
}

// groupState is what XINFO GROUPS says of one group.
type groupState struct {
	pending   int64
	delivered message.EntryID // last-delivered-id
	read      count           // entries-read: Redis 7
	lag       count           // Redis 7; NULL where Redis gives up
}

// certainty says what a lag is worth.
type certainty int

const (
	// uncounted: Redis has no figure, or one that others contradict.
	uncounted certainty = iota
	// plausible: Redis' own figure. It is too high where entries were removed that
	// the group had not got, and false where entries-read was set (XGROUP SETID …
	// ENTRIESREAD); only a count of the entries shows either.
	plausible
	// proven: it follows from ids and from the stream's length.
	proven
)

// uncountedLag says what a group's lag is before any entry is counted.
//
// Redis computes it as entries-added minus entries-read, the latter being how
// many the group got: an entry removed before the group got it stays in that
// difference for ever. (7.0.15 shows 3 for a group that read everything after an
// XTRIM of three unread entries, and 1 for an empty stream after XDEL; Redis 6.2
// has none of these figures.)
func uncountedLag(s streamState, g groupState) (lag int64, c certainty) {
	switch {
	case s.length == 0 || g.delivered.Compare(s.last) >= 0:
		return 0, proven
	case g.delivered.Compare(s.first) < 0:
		return s.length, proven
	case !g.lag.known || isImpossible(s, g):
		return 0, uncounted
	}
	return g.lag.n, plausible
}

// isImpossible reports that Redis' lag cannot be true of a group that has got
// the oldest entry there is, and not the newest.
func isImpossible(s streamState, g groupState) bool {
	return g.lag.n <= 0 || g.lag.n >= s.length ||
		g.read.known && g.read.n <= s.removed() ||
		s.maxDeleted.Compare(g.delivered) > 0
}

// removed is how many entries were deleted or trimmed, ever.
func (s streamState) removed() int64 {
	if !s.added.known {
		return 0
	}
	return s.added.n - s.length
}

// stretch is what was fetched of the entries behind a group's position.
type stretch struct {
	known       bool            // false: nothing was fetched
	whole       bool            // it reaches the stream's end
	n           int64           // how many
	first, last message.EntryID // 0-0 where there are none
}

// extend adds a page of n entries, of which count were asked for.
func (s stretch) extend(count, n int64, first, last message.EntryID) stretch {
	if s.n == 0 {
		s.first = first
	}
	if n > 0 {
		s.last = last
	}
	s.known, s.whole, s.n = true, n < count, s.n+n
	return s
}

// correct replaces an uncounted lag by what the entries say. One that
// stays uncounted is the number of those fetched: there are more.
func correct(lag int64, c certainty, s stretch) (int64, certainty) {
	switch {
	case s.n == 0:
		return 0, proven // gone since then
	case c != proven && s.whole:
		return s.n, proven
	case c == uncounted:
		return s.n, uncounted
	}
	return lag, c
}
