package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// What a line of the history is about.
const (
	kindPublish = "publish" // a message was offered to Redis
	kindCall    = "call"    // the application was given a message
	kindFault   = "fault"   // something was broken
	kindMend    = "mend"    // it was mended
)

// What became of a publish.
const (
	outcomeOK      = "ok"      // Redis confirmed it: it must be handled
	outcomeFailed  = "failed"  // Redis cannot have it
	outcomeUnknown = "unknown" // the reply was lost: it may be handled or not
)

// record is a line of the history. Times are nanoseconds since the scenario began.
type record struct {
	Kind string        `json:"kind"`
	At   time.Duration `json:"at"`              // publish: its reply came; call: it began
	End  time.Duration `json:"end,omitzero"`    // call: it was answered
	From string        `json:"from,omitempty"`  // call: the process that made it
	N    int           `json:"n,omitempty"`     // the message, from 1
	Key  int           `json:"key,omitempty"`   // its aggregate
	ID   string        `json:"entry,omitempty"` // its entry in the stream

	Outcome string `json:"outcome,omitempty"` // publish
	Text    string `json:"text,omitempty"`    // publish: why not ok; fault: what was done

	InFlight int `json:"in_flight,omitempty"` // fault: the entries that it may have repeated
}

// history keeps what happened, in memory for counting and in a file for people.
type history struct {
	began time.Time

	mu      sync.Mutex
	records []record
	file    *os.File
	buffer  *bufio.Writer
	lines   *json.Encoder
}

// newHistory creates the file, and its folder. The caller closes it.
func newHistory(path string) (*history, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriterSize(file, 1<<20)
	return &history{began: time.Now(), file: file, buffer: buffer, lines: json.NewEncoder(buffer)}, nil
}

// now is the time since the scenario began.
func (h *history) now() time.Duration { return time.Since(h.began) }

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = append(h.records, r)
	_ = h.lines.Encode(r) // a full disk shows when it is closed
}

// all returns what there is so far.
func (h *history) all() []record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.records)
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.buffer.Flush(), h.file.Close())
}
