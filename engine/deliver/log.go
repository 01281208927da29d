package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Log writes each message to a writer as one line: a CloudEvent in the
// standard's JSON format. It is safe for concurrent use; lines do not mix.
type Log struct {
	source string
	mu     sync.Mutex
	w      io.Writer
}

// NewLog returns a Log on w, which it does not close. The source is that of the
// events: see [Source].
func NewLog(w io.Writer, source string) *Log { return &Log{w: w, source: source} }

// Handle writes the message. A writer that fails is [handler.Unavailable]: it
// would fail for any message.
func (l *Log) Handle(_ context.Context, m *message.Envelope) error {
	line, err := l.line(m)
	if err != nil {
		return handler.Reject(fmt.Errorf("message is not JSON: %w", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(line); err != nil {
		return handler.Unavailable(fmt.Errorf("write message to the log: %w", err))
	}
	return nil
}

func (l *Log) line(m *message.Envelope) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the payload's text stays as it arrived, but for line breaks
	err := enc.Encode(newEvent(l.source, m))
	return b.Bytes(), err
}
