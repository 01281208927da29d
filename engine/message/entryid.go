package message

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// EntryID is the id of a stream entry: milliseconds since 1970 and a sequence
// number within one. The zero value is 0-0, which stands before every entry.
type EntryID struct{ Milliseconds, Sequence uint64 }

// ParseEntryID reads <milliseconds>-<sequence>.
func ParseEntryID(text string) (EntryID, error) {
	ms, seq, whole := strings.Cut(text, "-")
	var id EntryID
	var err error
	if id.Milliseconds, err = strconv.ParseUint(ms, 10, 64); err == nil {
		id.Sequence, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil || !whole {
		return EntryID{}, fmt.Errorf("%q is not an entry id: expected <milliseconds>-<sequence>", text)
	}
	return id, nil
}

// String is the id as Redis writes it.
func (id EntryID) String() string {
	return strconv.FormatUint(id.Milliseconds, 10) + "-" + strconv.FormatUint(id.Sequence, 10)
}

// Compare is negative where id comes before other, zero where they are equal,
// and positive otherwise.
func (id EntryID) Compare(other EntryID) int {
	return cmp.Or(cmp.Compare(id.Milliseconds, other.Milliseconds), cmp.Compare(id.Sequence, other.Sequence))
}

// IsZero reports whether the id is 0-0.
func (id EntryID) IsZero() bool { return id == EntryID{} }
