// Package testlog keeps what a program under test logs or prints, so that a test
// can read it while more is being written.
package testlog

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Output is an io.Writer that keeps everything written to it. Its zero value is
// ready, it must not be copied, and its methods may be called side by side.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends text. It returns no error.
func (o *Output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

// String returns what was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Lines returns the lines written so far that are not empty.
func (o *Output) Lines() []string {
	return strings.FieldsFunc(o.String(), func(r rune) bool { return r == '\n' })
}

// Logger returns a logger that writes text to the output, from level Info on.
func (o *Output) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(o, nil)) }
