package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The events are real ones, as the wire format's reference implementation wrote
// them, of six categories and up to 1.3 kB each.
//
//go:embed testdata/events.jsonl
var recorded []byte

// aggregates is how many different `headers.stream` a category has as a rule:
// enough that keeping their order is work, few enough that each comes back often.
const aggregates = 997

// The holes in a template. Each is spelled so that it is its own JSON escape.
const (
	aggregateHole = "{aggregate}"
	sequenceHole  = "{sequence}"
	checksumHole  = "{checksum}"
)

// template is one recorded event with holes where events differ.
type template struct {
	text      string // the whole message
	canonical string // the payload, as the checksum sees it
}

// templates cuts the holes into the recorded events.
func templates() ([]template, error) {
	var out []template
	lines := bufio.NewScanner(bytes.NewReader(recorded))
	for lines.Scan() {
		t, err := newTemplate(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("recorded event %d: %w", len(out)+1, err)
		}
		out = append(out, t)
	}
	return out, lines.Err()
}

func newTemplate(line []byte) (template, error) {
	var entry struct {
		Fields struct{ Data string }
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return template{}, fmt.Errorf("decode entry: %w", err)
	}
	text := entry.Fields.Data
	var m envelope
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return template{}, fmt.Errorf("decode message: %w", err)
	}
	payload, err := canonical(m.Data)
	if err != nil {
		return template{}, err
	}
	if got := checksum(payload); got != m.Metadata.Envelope.Checksum {
		return template{}, fmt.Errorf("checksum is %s, the event says %s", got, m.Metadata.Envelope.Checksum)
	}
	return cut(text, payload, m), nil
}

func cut(text, payload string, m envelope) template {
	name := strings.TrimPrefix(m.Metadata.Headers.Stream, m.Metadata.Domain.StreamCategory+"-")
	aggregate := strings.NewReplacer(
		`"`+name+`"`, `"`+aggregateHole+`"`,
		"-"+name+`"`, "-"+aggregateHole+`"`,
		"-"+name+"-", "-"+aggregateHole+"-",
	)
	sequence := m.Metadata.Domain.SequenceID
	rest := strings.NewReplacer(
		`-`+sequence+`"`, `-`+sequenceHole+`"`,
		`"`+sequence+`"`, `"`+sequenceHole+`"`,
		m.Metadata.Envelope.Checksum, checksumHole,
	)
	return template{text: rest.Replace(aggregate.Replace(text)), canonical: aggregate.Replace(payload)}
}

// events makes n messages of so many aggregates, each with an id and a checksum
// of its own.
func events(n, aggregates int) ([]string, error) {
	shapes, err := templates()
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		out[i] = shapes[i%len(shapes)].event(i, i%aggregates)
	}
	return out, nil
}

func (t template) event(n, of int) string {
	aggregate := fmt.Sprintf("bench-%03d", of)
	payload := strings.ReplaceAll(t.canonical, aggregateHole, aggregate)
	return strings.NewReplacer(
		aggregateHole, aggregate,
		sequenceHole, strconv.Itoa(n)+".1",
		checksumHole, checksum(payload),
	).Replace(t.text)
}

// number reads back which event an id belongs to.
func number(id string) (int, error) {
	sequence := id[strings.LastIndexByte(id, '-')+1:]
	whole, _, _ := strings.Cut(sequence, ".")
	return strconv.Atoi(whole)
}
