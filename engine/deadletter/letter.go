// Package deadletter says what becomes of a message that is given up on: the
// entry written to the queue of its stream.
package deadletter

import "time"

// Suffix is what a stream's dead-letter queue adds to the stream's name.
const Suffix = ":dlq"

// QueueOf names the dead-letter queue of a stream.
func QueueOf(stream string) string { return stream + Suffix }

// Letter is one message to be parked: the two fields of the entry to be
// written, and which entry of which stream it replaces.
type Letter struct {
	// ID is the entry that is acknowledged once the letter is written.
	ID string
	// Data is the value of the field `data`: the original text with
	// `_dlq_metadata` spliced in.
	Data []byte
	// Raw is the value of the field `raw`; nil writes no such field. It holds
	// what could not be kept in Data.
	Raw []byte
}

// Metadata is the `_dlq_metadata` object of a dead letter.
type Metadata struct {
	OriginalStream string
	OriginalID     string
	ConsumerGroup  string
	Consumer       string
	FailedAt       time.Time
	// RetryCount is the number of calls made.
	RetryCount int
	// FailureReason is the error's type and text.
	FailureReason string
}
