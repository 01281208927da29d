package redisbroker

import (
	"fmt"
	"iter"

	"github.com/observatory-go/observatory/engine/message"
)

// parseStream reads the reply of XINFO STREAM.
func parseStream(reply any) (s streamState, err error) {
	var found int
	for name, value := range pairs(reply) {
		switch name {
		case "length":
			length := integer(value)
			s.length = length.n
			found += length.one()
		case "last-generated-id":
			s.last, err = identifier(value)
			found++
		case "max-deleted-entry-id":
			s.maxDeleted, err = identifier(value)
		case "entries-added":
			s.added = integer(value)
		case "first-entry":
			s.first, err = firstOf(value)
			s.entryBytes = max(s.entryBytes, sizeOf(value))
		case "last-entry":
			s.entryBytes = max(s.entryBytes, sizeOf(value))
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, whole(found, 2, "length and last-generated-id")
}

// parseGroups reads the reply of XINFO GROUPS.
func parseGroups(reply any) (map[string]groupState, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("expected a list of groups, got %T", reply)
	}
	groups := make(map[string]groupState, len(list))
	for _, item := range list {
		name, g, err := parseGroup(item)
		if err != nil {
			return nil, err
		}
		groups[name] = g
	}
	return groups, nil
}

func parseGroup(reply any) (group string, g groupState, err error) {
	var found int
	for name, value := range pairs(reply) {
		switch name {
		case "name":
			if text, ok := value.(string); ok {
				group = text
				found++
			}
		case "pending":
			pending := integer(value)
			g.pending = pending.n
			found += pending.one()
		case "last-delivered-id":
			g.delivered, err = identifier(value)
			found++
		case "entries-read":
			g.read = integer(value)
		case "lag":
			g.lag = integer(value)
		}
		if err != nil {
			return "", g, fmt.Errorf("%s: %w", name, err)
		}
	}
	return group, g, whole(found, 3, "name, pending and last-delivered-id")
}

// pairs walks a reply of names and values in turn.
func pairs(reply any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		list, _ := reply.([]any)
		for i := 0; i+1 < len(list); i += 2 {
			if name, ok := list[i].(string); ok && !yield(name, list[i+1]) {
				return
			}
		}
	}
}

// integer is unknown where the reply has NULL.
func integer(value any) count {
	n, ok := value.(int64)
	return count{n, ok}
}

// one is 1 for a figure that is there.
func (c count) one() int {
	if c.known {
		return 1
	}
	return 0
}

func identifier(value any) (message.EntryID, error) {
	text, ok := value.(string)
	if !ok {
		return message.EntryID{}, fmt.Errorf("expected an entry id, got %T", value)
	}
	return message.ParseEntryID(text)
}

// firstOf is the id of an entry; NULL, in an empty stream, is 0-0.
func firstOf(value any) (message.EntryID, error) {
	if value == nil {
		return message.EntryID{}, nil
	}
	entry, ok := value.([]any)
	if !ok || len(entry) == 0 {
		return message.EntryID{}, fmt.Errorf("expected an entry, got %T", value)
	}
	return identifier(entry[0])
}

// sizeOf is how many bytes of text an entry holds.
func sizeOf(value any) (n int64) {
	switch v := value.(type) {
	case string:
		return int64(len(v))
	case []any:
		for _, part := range v {
			n += sizeOf(part)
		}
	}
	return n
}

func whole(found, wanted int, what string) error {
	if found != wanted {
		return fmt.Errorf("the reply lacks %s", what)
	}
	return nil
}
