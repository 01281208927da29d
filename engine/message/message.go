// Package message is the envelope that travels through streams, and the rules
// of stream names. It knows the wire format and nothing else: no broker, no
// handler, no clock.
package message

import (
	"encoding/json"
	"slices"
	"time"
)

// Envelope is one message as a handler receives it. Its payload is kept as the
// text that arrived and is never re-encoded, so that 42.0 stays 42.0.
//
// An Envelope is read-only once decoded; handlers may keep it.
type Envelope struct {
	// Data is the payload: always a JSON object.
	Data json.RawMessage
	// Metadata is what travels beside the payload.
	Metadata Metadata
	// Source says where the message was read, and how often it was tried.
	Source Source
}

// Source is the place a message was read from.
type Source struct {
	// Stream is the physical stream: the category, its backfill lane, or a
	// broker subscriber's stream.
	Stream string
	// ID is the entry's id in that stream.
	ID string
	// Attempt counts the calls of the handler for this message, this one
	// included: 1 at the first.
	Attempt int
	// Fence is the number of the ownership under which the message was read, where
	// one process at a time runs the subscription: a later owner has a greater one. A
	// call under way in a process that was suspended cannot be stopped, and who stores
	// the number with its effects can refuse what an earlier owner writes. 0 where
	// there is no such ownership.
	Fence int64
}

// Metadata are the parts of the wire's metadata object.
type Metadata struct {
	Headers    Headers
	Integrity  Integrity
	Domain     Domain
	EventStore EventStore
	// Extensions is the extensions object as it arrived; nil where the
	// message has none.
	Extensions json.RawMessage
}

// Headers identify a message. A null or absent value is the zero value. Texts
// are UTF-8, but for a lone surrogate that a producer escaped: it is kept as three
// bytes that are not, so that different ids stay different.
type Headers struct {
	ID             string
	Time           time.Time
	Type           string
	Stream         string
	TraceParent    TraceParent
	IdempotencyKey string
	Deadline       time.Time
}

// TraceParent is the W3C trace context of the span that produced the message.
// TraceID is empty where there is none.
type TraceParent struct {
	TraceID  string // 32 hex digits
	ParentID string // 16 hex digits
	Sampled  bool
}

// Integrity is the wire's envelope object.
type Integrity struct {
	SpecVersion string
	// Checksum is the hex SHA-256 of the payload's canonical text; empty
	// means that nothing is verified.
	Checksum string
}

// The kinds of message that Domain.Kind names.
const (
	KindEvent   = "EVENT"
	KindCommand = "COMMAND"
	// KindBroker marks a message of a broker subscriber, which carries no
	// metadata of its own. It never travels.
	KindBroker = "BROKER_MESSAGE"
)

// Domain is what the framework knows of a message.
type Domain struct {
	FQN             string
	Kind            string
	OriginStream    string
	StreamCategory  string
	Version         int
	SequenceID      string
	Asynchronous    bool
	ExpectedVersion *int64
	Priority        int
	CorrelationID   string
	CausationID     string
}

// EventStore is where a message stands in an event store. Both are nil in what
// a broker delivers.
type EventStore struct {
	GlobalPosition *int64
	Position       *int64
}

// Delivery is one stream entry as a consumer group got it.
type Delivery struct {
	// Stream is where it was read.
	Stream string
	// ID is the entry's id.
	ID string
	// Fields are the entry's fields in their order. An entry whose body is
	// gone (deleted or trimmed while pending) has none: see Gone.
	Fields []Field
	// Attempts is how often a handler was called for it before, as far as the
	// broker's delivery count tells. A first delivery has 0.
	Attempts int
	// Position is where it stands in an event store; 0 for a stream's entry.
	Position int64
	// Fence is the number of the ownership that read it; see [Source].
	Fence int64
}

// The last two fields of a copy that was added for one group alone, which gave the
// original up: that group, and the original's id. Other groups of this engine pass
// the copy over.
const (
	replayGroupField = "observatory_group"
	replayIDField    = "observatory_original"
)

// ReplayFields are what a copy for one group has after the original's own fields.
func ReplayFields(group, originalID string) []Field {
	return []Field{{Name: replayGroupField, Value: []byte(group)}, {Name: replayIDField, Value: []byte(originalID)}}
}

// ReplayedFor returns the group for which the entry was added again, and the id of
// the original; replayed is false for every other entry.
func (d Delivery) ReplayedFor() (group, originalID string, replayed bool) {
	n := len(d.Fields) - 2
	if n < 0 || d.Fields[n].Name != replayGroupField || d.Fields[n+1].Name != replayIDField {
		return "", "", false
	}
	return string(d.Fields[n].Value), string(d.Fields[n+1].Value), true
}

// Content are the fields of the entry without those of [ReplayFields].
func (d Delivery) Content() []Field {
	if _, _, replayed := d.ReplayedFor(); replayed {
		return d.Fields[:len(d.Fields)-2]
	}
	return d.Fields
}

// Field is one name and value of a stream entry.
type Field struct {
	Name  string
	Value []byte
}

// DataField is the field that holds the whole message as JSON text.
const DataField = "data"

// Gone reports whether the entry's body no longer exists.
func (d Delivery) Gone() bool { return len(d.Fields) == 0 }

// Data returns the value of the data field, and whether there is one. Of a
// field that occurs twice the last counts, as for Python readers.
func (d Delivery) Data() ([]byte, bool) {
	for _, f := range slices.Backward(d.Fields) {
		if f.Name == DataField {
			return f.Value, true
		}
	}
	return nil, false
}
