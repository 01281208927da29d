// Package handler routes a message's type to functions, wraps them, and says by
// an error what becomes of the message.
package handler

import (
	"context"

	"github.com/observatory-go/observatory/engine/message"
)

// Func handles one message. It returns nil when the message is done; the entry
// is acknowledged only then. Any other error is a failed attempt, unless it is
// one of this package's outcomes: [Reject], [RetryAfter], [Unavailable],
// [Interrupted], [Skip].
//
// The envelope is the call's own and may be kept and changed. The bytes of its
// Data are shared with the entry and must not be changed in place.
//
// Delivery is at least once: a message may be handled again after a crash, or
// when an acknowledgement was lost. The context ends when the handler's time
// is up or when the engine must stop; a handler should return soon after.
type Func func(ctx context.Context, m *message.Envelope) error

// Middleware wraps a Func. The first in a list is the outermost.
type Middleware func(Func) Func
