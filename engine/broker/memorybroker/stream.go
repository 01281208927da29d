package memorybroker

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// stream is a log of entries and the groups that read it.
type stream struct {
	name   string
	maxLen int
	groups map[string]*group

	entries []*entry
	// dropped is how many entries retention has removed. An entry's position
	// counts all that were ever added before it.
	dropped int
	last    entryID
	// trimAt is the position at which retention looks again: it is too dear
	// to be asked at every entry while some group holds everything back.
	trimAt int
	// arrived is closed by the next entry; nil while nobody waits.
	arrived chan struct{}
}

// entry never changes once added; groups and readers share it.
type entry struct {
	id       entryID
	text     string // the id as readers know it
	position int
	fields   []message.Field
}

// added is how many entries were ever added.
func (s *stream) added() int { return s.dropped + len(s.entries) }

// from returns the entries at a position and after it.
func (s *stream) from(position int) []*entry { return s.entries[position-s.dropped:] }

// add appends an entry and wakes who waits for one.
func (s *stream) add(fields []message.Field) *entry {
	s.last = s.last.next(time.Now())
	e := &entry{id: s.last, text: s.last.String(), position: s.added(), fields: fields}
	s.entries = append(s.entries, e)
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
	s.trim()
	return e
}

// wait returns what the next entry closes.
func (s *stream) wait() <-chan struct{} {
	if s.arrived == nil {
		s.arrived = make(chan struct{})
	}
	return s.arrived
}

// trim drops what is beyond maxLen and finished by every group.
func (s *stream) trim() {
	if s.maxLen < 1 || len(s.entries) <= s.maxLen || s.added() < s.trimAt {
		return
	}
	s.trimAt = s.added() + max(s.maxLen/8, 1)
	n := len(s.entries) - s.maxLen
	for _, g := range s.groups {
		n = min(n, g.unfinished()-s.dropped)
	}
	s.entries = slices.Delete(s.entries, 0, n)
	s.dropped += n
}

// group returns the named group, made if need be.
func (s *stream) group(name string, fromEnd bool) *group {
	g := s.groups[name]
	if g == nil {
		g = &group{stream: s, next: s.dropped, pending: map[string]*pending{}, consumers: map[string]*consumer{}}
		if fromEnd {
			g.next = s.added()
		}
		s.groups[name] = g
	}
	return g
}

// entryID is Redis' entry id: milliseconds, and a number within one.
type entryID struct{ ms, seq uint64 }

// next is the id of an entry added now. It grows even if the clock does not.
func (id entryID) next(now time.Time) entryID {
	if ms := uint64(max(now.UnixMilli(), 0)); ms > id.ms {
		return entryID{ms: ms}
	}
	return entryID{ms: id.ms, seq: id.seq + 1}
}

func (id entryID) String() string {
	text := strconv.AppendUint(make([]byte, 0, 24), id.ms, 10)
	text = append(text, '-')
	return string(strconv.AppendUint(text, id.seq, 10))
}

func (id entryID) compare(other entryID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.seq, other.seq))
}

// age is how long ago the entry was added; never negative.
func (id entryID) age(now time.Time) time.Duration {
	return max(now.Sub(time.UnixMilli(int64(id.ms))), 0)
}

// parseID reads an id; the empty text is the id before every other.
func parseID(text string) (id entryID, err error) {
	if text == "" {
		return id, nil
	}
	ms, seq, _ := strings.Cut(text, "-")
	var errMs, errSeq error
	id.ms, errMs = strconv.ParseUint(ms, 10, 64)
	id.seq, errSeq = strconv.ParseUint(seq, 10, 64)
	if errMs != nil || errSeq != nil {
		return id, fmt.Errorf("%q is not an entry id: it must be <milliseconds>-<number>", text)
	}
	return id, nil
}
