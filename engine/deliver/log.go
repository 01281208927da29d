package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Log writes each message as one line: a CloudEvent in the standard's JSON format.
// It is safe for concurrent use.
type Log struct {
	source  string
	leftOut func(LeftOut)
	lines   *Lines
}

// NewLog returns a Log that writes to lines. The source is that of the events: see
// [Source]. leftOut is called for each extension attribute that an event could not
// have; nil ignores them.
func NewLog(lines *Lines, source string, leftOut func(LeftOut)) *Log {
	if leftOut == nil {
		leftOut = func(LeftOut) {}
	}
	return &Log{lines: lines, source: source, leftOut: leftOut}
}

// Handle writes the message. A writer that fails is [handler.Unreachable]: it would
// fail for any message; and so is one that does not take the line before the
// deadline of ctx, in which case the line may still be written later. When ctx is
// cancelled its error is returned.
func (l *Log) Handle(ctx context.Context, m *message.Envelope) error {
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
	err = l.lines.write(ctx, line)
	if err == nil || errors.Is(context.Cause(ctx), context.Canceled) {
		return err
	}
	return handler.Unreachable(fmt.Errorf("write message to the log: %w", err))
}

// Lines are whole lines on a writer, for any number of Logs. A writer that hangs, as
// a pipe does that is not read, holds up no caller beyond its context. After a line
// that was written in part, its rest comes first.
type Lines struct {
	to   io.Writer
	turn chan struct{} // holds one token while a line is written
	rest []byte        // of a line that was written in part; whose turn it is has it
}

// NewLines returns Lines on a writer, which it does not close.
func NewLines(to io.Writer) *Lines {
	return &Lines{to: to, turn: make(chan struct{}, 1)}
}

// write returns when the line is written, the writer has failed, or ctx ends. In
// that case the writer still has the line, and others wait for their turn.
func (l *Lines) write(ctx context.Context, line []byte) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return errNotTaken(ctx)
	}
	written := make(chan error, 1)
	go func() {
		defer func() { <-l.turn }()
		text := append(l.rest, line...)
		n, err := l.to.Write(text)
		switch {
		case err == nil, n == len(l.rest): // nothing of the line
			l.rest = nil
		case n < len(l.rest):
			l.rest = l.rest[n:]
		default:
			l.rest = text[n:]
		}
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return errNotTaken(ctx)
	}
}

func errNotTaken(ctx context.Context) error {
	return fmt.Errorf("it took no line in time: %w", context.Cause(ctx))
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
