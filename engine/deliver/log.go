package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Log writes each message to a writer as one line: a CloudEvent in the
// standard's JSON format. It is safe for concurrent use; lines do not mix.
type Log struct {
	source  string
	leftOut func(LeftOut)
	mu      sync.Mutex
	w       io.Writer
}

// NewLog returns a Log on w, which it does not close. The source is that of the
// events: see [Source]. leftOut is called for each extension attribute that an
// event could not have; nil ignores them.
func NewLog(w io.Writer, source string, leftOut func(LeftOut)) *Log {
	if leftOut == nil {
		leftOut = func(LeftOut) {}
	}
	return &Log{w: w, source: source, leftOut: leftOut}
}

// Handle writes the message. A writer that fails is [handler.Unavailable]: it
// would fail for any message.
func (l *Log) Handle(_ context.Context, m *message.Envelope) error {
	ev, leftOut := newEvent(l.source, m, nil)
	if err := ev.check(utf8.ValidString); err != nil { // a line of JSON can hold all else
		return handler.RejectUncalled(fmt.Errorf("message cannot be a CloudEvent: %w", err))
	}
	line, err := ev.line()
	if err != nil {
		return handler.RejectUncalled(fmt.Errorf("message is not JSON: %w", err))
	}
	for _, extension := range leftOut {
		l.leftOut(extension)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(line); err != nil {
		return handler.Unavailable(fmt.Errorf("write message to the log: %w", err))
	}
	return nil
}

// line is the event in the standard's JSON format, as one line. The payload's
// text stays as it arrived, but for white space.
func (e cloudEvent) line() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	b.Truncate(b.Len() - len("}\n"))
	for _, extension := range e.Extensions {
		fmt.Fprintf(&b, `,"%s":%s`, extension.name, extension.json())
	}
	if len(e.Data) > 0 {
		b.WriteString(`,"data":`)
		if err := json.Compact(&b, e.Data); err != nil {
			return nil, err
		}
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}
