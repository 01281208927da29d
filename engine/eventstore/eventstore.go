// Package eventstore is what the adapters of event stores have in common.
package eventstore

import (
	"errors"
	"fmt"
)

// NoStream is the expected version of a stream that does not exist.
const NoStream int64 = -1

// ErrClosed is returned by a store that was closed.
var ErrClosed = errors.New("event store: closed")

// ExpectedVersionError says that a stream is not at the version that a message
// to be appended expects: another writer was first.
type ExpectedVersionError struct {
	Stream string
	// Expected and Actual are positions of the stream's last message; [NoStream] of
	// one that has none.
	Expected, Actual int64
}

// Error has the text of Message-DB.
func (e *ExpectedVersionError) Error() string {
	return fmt.Sprintf("Wrong expected version: %d (Stream: %s, Stream Version: %d)", e.Expected, e.Stream, e.Actual)
}
