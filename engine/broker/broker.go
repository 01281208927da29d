// Package broker is the family page of the brokers: what one may be able to do,
// and the errors that all of them share.
package broker

import "errors"

// Capability is a set of things that a broker can do.
type Capability uint

// What a broker may be able to do. The conformance suite tests a claim and its
// absence alike: what is not claimed must fail with ErrUnsupported.
const (
	// ConsumerGroups: a group's entries are shared out among its consumers.
	ConsumerGroups Capability = 1 << iota
	// DeadLetters: a failed entry can be moved to its stream's dead-letter queue.
	DeadLetters
	// BlockingRead: a read may wait for the next entry.
	BlockingRead
	// Durable: entries outlive the process.
	Durable
)

// Has reports whether all of want are in c.
func (c Capability) Has(want Capability) bool { return c&want == want }

var (
	// ErrUnsupported is returned by an operation that the broker does not
	// claim to have.
	ErrUnsupported = errors.New("broker: not supported")
	// ErrClosed is returned by every operation after Close.
	ErrClosed = errors.New("broker: closed")
	// ErrWrongType is returned where the key at a stream's name holds
	// something else than a stream.
	ErrWrongType = errors.New("broker: key is not a stream")
)
