// Package deadletter composes the entry that is written to the dead-letter
// queue of a stream in place of a message that is given up.
package deadletter

import "time"

// Suffix is what a stream's dead-letter queue adds to the stream's name.
const Suffix = ":dlq"

// QueueOf names the dead-letter queue of a stream.
func QueueOf(stream string) string { return stream + Suffix }

// Entry is one dead letter: the two fields of the entry to be written, and the
// id of the stream entry that it replaces.
type Entry struct {
	// ID is the stream entry that is acknowledged once the dead letter is
	// written.
	ID string
	// Data is the value of the field `data`: the original text with
	// `_dlq_metadata` spliced in.
	Data []byte
	// Raw is the value of the field `raw`; nil writes no such field. It holds,
	// as it was, what could not be kept so in Data.
	Raw []byte
	// TriedAt is when this entry was first written without an answer, so that it
	// may be in the queue; zero where that was never so.
	TriedAt time.Time
}
