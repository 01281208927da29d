package app

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxUnwritten bounds the text that waits to be written.
	maxUnwritten = 1 << 20
	// flushTimeout is how long Close waits for the rest to be written.
	flushTimeout = time.Second
)

// Output writes text in the background, in its order, so that a program goes on
// whose log is a pipe that is full, or a disk that hangs. While more than a
// mebibyte waits, what is added is dropped. How many lines were dropped, or could
// not be written, is written as a line of the log once a line can be written
// again.
type Output struct {
	to   io.Writer
	done chan struct{} // closed when nothing is written any more

	mu       sync.Mutex
	added    *sync.Cond // something to write, or the end
	waiting  [][]byte
	bytes    int // of waiting, and of what is being written
	dropped  int // lines since waiting was full
	closed   bool
	describe func(lines int) []byte
}

// NewOutput returns an Output that writes to another writer. The caller closes
// it; the other writer stays open.
func NewOutput(to io.Writer) *Output {
	o := &Output{to: to, done: make(chan struct{})}
	o.added = sync.NewCond(&o.mu)
	o.logAs(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) })
	go o.run()
	return o
}

// Write takes a copy of the text, whole lines, and never waits for it to be
// written. It returns no error.
func (o *Output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := o.bytes > 0 && o.bytes+len(text) > maxUnwritten
	if o.closed || full || o.dropped > 0 { // what is dropped stays in one piece
		o.dropped += linesOf(text)
		return len(text), nil
	}
	o.waiting = append(o.waiting, bytes.Clone(text))
	o.bytes += len(text)
	o.added.Signal()
	return len(text), nil
}

// Close waits for the rest to be written, a second at most. What is added
// afterwards is dropped.
func (o *Output) Close() {
	o.mu.Lock()
	o.closed = true
	o.added.Signal()
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-time.After(flushTimeout):
	}
}

// logAs sets how the line about lost lines is written: as a log of this kind.
func (o *Output) logAs(newHandler func(io.Writer) slog.Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.describe = func(lines int) []byte {
		var line bytes.Buffer
		slog.New(newHandler(&line)).Warn("log lines could not be written", "lines", lines)
		return line.Bytes()
	}
}

// run writes what is added until the Output is closed.
func (o *Output) run() {
	defer close(o.done)
	lost := 0
	for {
		text, dropped, describe, ok := o.next()
		if !ok {
			return
		}
		lost += dropped
		if lost > 0 {
			if _, err := o.to.Write(describe(lost)); err == nil {
				lost = 0
			}
		}
		if lost > 0 { // what follows would be refused too
			lost += linesOf(text)
		} else if _, err := o.to.Write(text); err != nil {
			lost += linesOf(text)
		}
		o.mu.Lock()
		o.bytes -= len(text)
		o.mu.Unlock()
	}
}

// next waits for a text, or for the number of lines that were dropped after the
// last one; the end is not ok.
func (o *Output) next() (text []byte, dropped int, describe func(int) []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) == 0 && o.dropped == 0 && !o.closed {
		o.added.Wait()
	}
	if len(o.waiting) > 0 {
		text, o.waiting[0] = o.waiting[0], nil // its memory is free once it is written
		o.waiting = o.waiting[1:]
		return text, 0, o.describe, true
	}
	dropped, o.dropped = o.dropped, 0
	return nil, dropped, o.describe, dropped > 0
}

func linesOf(text []byte) int { return bytes.Count(text, []byte("\n")) }
