package redisbroker

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/observatory-go/observatory/collector"
)

// entryID is the id of a stream entry: milliseconds and a sequence number.
type entryID struct{ ms, seq uint64 }

func parseEntryID(text string) (entryID, error) {
	ms, seq, _ := strings.Cut(text, "-")
	var id entryID
	var err error
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err == nil {
		id.seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil {
		return entryID{}, fmt.Errorf("entry id %q: expected <milliseconds>-<sequence>", text)
	}
	return id, nil
}

func (id entryID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func (id entryID) compare(other entryID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.seq, other.seq))
}

// age is how long before now the entry was added, in seconds. It is unknown
// where somebody gave the entry an id that is no time: Redis has had streams
// since 2017.
func (id entryID) age(now time.Time) collector.Value {
	const firstStreams = 1483228800000 // 2017-01-01
	if id.ms < firstStreams || now.IsZero() {
		return collector.Value{}
	}
	age := (float64(now.UnixMicro()) - float64(id.ms)*1000) / 1e6
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
	last       entryID // last-generated-id
	first      entryID // of the oldest entry there is; 0-0 in an empty stream
	added      count   // entries-added: Redis 7
	maxDeleted entryID // max-deleted-entry-id: Redis 7; 0-0 where nothing was
}

// groupState is what XINFO GROUPS says of one group.
type groupState struct {
	pending   int64
	delivered entryID // last-delivered-id
	read      count   // entries-read: Redis 7
	lag       count   // Redis 7; NULL where Redis gives up
}

// certainty says what a lag is worth.
type certainty int

const (
	// uncounted: Redis has no figure, or one that others contradict.
	uncounted certainty = iota
	// plausible: Redis' own figure, where entries were removed. It is too high
	// if the group had not got some of them, and in time nothing shows that.
	plausible
	// proven: it cannot be anything else.
	proven
)

// judge says what a group's lag is without looking at entries.
//
// Redis computes it as entries-added minus entries-read, the latter being what
// the group got: an entry removed before the group got it stays in that
// difference for ever. (7.0.15 shows 3 for a group that read everything after an
// XTRIM of three unread entries, and 1 for an empty stream after XDEL; Redis 6.2
// has none of these figures.)
func judge(s streamState, g groupState) (lag int64, c certainty) {
	switch {
	case s.length == 0 || g.delivered.compare(s.last) >= 0:
		return 0, proven
	case g.delivered.compare(s.first) < 0:
		return s.length, proven
	case !g.lag.known || contradicted(s, g):
		return 0, uncounted
	case s.removed() == 0:
		return g.lag.n, proven
	}
	return g.lag.n, plausible
}

// contradicted reports that Redis' lag cannot be true of a group that has got
// the oldest entry there is, and not the newest.
func contradicted(s streamState, g groupState) bool {
	return g.lag.n <= 0 || g.lag.n >= s.length ||
		g.read.known && g.read.n <= s.removed() ||
		s.maxDeleted.compare(g.delivered) > 0
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
	known       bool    // false: nothing was fetched
	whole       bool    // it reaches the stream's end
	n           int64   // how many
	first, last entryID // 0-0 where there are none
}

// extend adds a page of n entries, of which count were asked for.
func (s stretch) extend(count, n int64, first, last entryID) stretch {
	if s.n == 0 {
		s.first = first
	}
	if n > 0 {
		s.last = last
	}
	s.known, s.whole, s.n = true, n < count, s.n+n
	return s
}

// correct replaces a lag that was judged by what the entries say. One that
// stays uncounted is the number of those fetched: there are more.
func correct(lag int64, c certainty, s stretch) (int64, certainty) {
	switch {
	case s.n == 0:
		return 0, proven // gone since it was judged
	case c != proven && s.whole:
		return s.n, proven
	case c == plausible && s.n >= lag:
		return lag, proven // Redis' figure may be too high, not too low
	case c == uncounted:
		return s.n, uncounted
	}
	return lag, c
}
