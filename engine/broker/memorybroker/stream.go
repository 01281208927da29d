package memorybroker

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
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
	last    message.EntryID
	// trimAt is the position at which retention checks again: a check at every
	// entry is too slow while some group holds everything back.
	trimAt int
	// retained is what the last Trim came to; nil before it.
	retained *consumergroup.Trimmed
	// arrived is closed by the next entry; nil while no read waits.
	arrived chan struct{}
}

// entry never changes once added; groups and readers share it.
type entry struct {
	id       message.EntryID
	text     string // the id as readers know it
	position int
	fields   []message.Field
}

// added is how many entries were ever added.
func (s *stream) added() int { return s.dropped + len(s.entries) }

// from returns the entries at a position and after it.
func (s *stream) from(position int) []*entry { return s.entries[position-s.dropped:] }

// add appends an entry and wakes the reads that wait for one.
func (s *stream) add(fields []message.Field) *entry {
	s.last = idAfter(s.last, time.Now())
	e := &entry{id: s.last, text: s.last.String(), position: s.added(), fields: fields}
	s.entries = append(s.entries, e)
	s.wake()
	s.trim()
	return e
}

// wake ends the waiting reads.
func (s *stream) wake() {
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
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
	s.trimTo(s.maxLen, nil)
}

// trimTo drops what is beyond a length, finished by every group, and below all floors.
// holder is the group that needs the oldest entry; "" where there is no group.
func (s *stream) trimTo(length int, floors []consumergroup.Floor) (removed int, holder string) {
	needed := s.added()
	for _, f := range floors {
		if lowest := s.positionOf(f.ID); s.groups[f.Group] != nil && lowest < needed {
			needed, holder = lowest, f.Group
		}
	}
	for name, g := range s.groups {
		if oldest := g.unfinished(); holder == "" || oldest < needed {
			needed, holder = oldest, name
		}
	}
	removed = max(min(len(s.entries)-length, needed-s.dropped), 0)
	s.entries = slices.Delete(s.entries, 0, removed)
	s.dropped += removed
	return removed, holder
}

// position is the position of the first entry whose id is above this one.
func (s *stream) position(above message.EntryID) int {
	n := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].id.Compare(above) > 0 })
	return s.dropped + n
}

// positionOf is the position of the first entry whose id is at least this one.
func (s *stream) positionOf(id message.EntryID) int {
	n := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].id.Compare(id) >= 0 })
	return s.dropped + n
}

// entry returns the entry of an id; nil where there is none.
func (s *stream) entry(id message.EntryID) *entry {
	n, found := slices.BinarySearchFunc(s.entries, id, func(e *entry, id message.EntryID) int { return e.id.Compare(id) })
	if !found {
		return nil
	}
	return s.entries[n]
}

// holds reports whether an entry has this value in its field data.
func (s *stream) holds(data []byte) bool {
	return slices.ContainsFunc(s.entries, func(e *entry) bool {
		return slices.ContainsFunc(e.fields, func(f message.Field) bool {
			return f.Name == message.DataField && bytes.Equal(f.Value, data)
		})
	})
}

// idAfter is the id of an entry added now. It grows even if the clock does not.
func idAfter(last message.EntryID, now time.Time) message.EntryID {
	if ms := uint64(max(now.UnixMilli(), 0)); ms > last.Milliseconds {
		return message.EntryID{Milliseconds: ms}
	}
	return message.EntryID{Milliseconds: last.Milliseconds, Sequence: last.Sequence + 1}
}

// ageOf is how long ago the entry of an id was added; never negative.
func ageOf(id message.EntryID, now time.Time) time.Duration {
	return max(now.Sub(time.UnixMilli(int64(id.Milliseconds))), 0)
}

// parseID reads an id; the empty text is the id before every other.
func parseID(text string) (message.EntryID, error) {
	if text == "" {
		return message.EntryID{}, nil
	}
	return message.ParseEntryID(text)
}
