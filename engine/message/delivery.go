package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// FromDelivery reads an entry whose field `data` is a whole message in the
// wire's form: see [Decode].
func FromDelivery(d Delivery) (Envelope, error) {
	text, err := d.dataField()
	if err != nil {
		return Envelope{}, err
	}
	e, err := Decode(text)
	if err != nil {
		return Envelope{}, err
	}
	e.Source = d.source()
	return e, nil
}

// FromObject reads an entry whose field `data` is any JSON object: the payload.
// What a program may have put into the object's own `metadata` is used where it
// is of the right kind, and otherwise made up from the entry: the id
// (metadata.headers.id, else the entry's), the time (metadata.headers.time,
// else the entry's), and the correlation id (metadata.domain.correlation_id,
// metadata.correlation_id, correlation_id, else 32 hexadecimal digits made of the
// stream's name and the entry's id: the same at every attempt and for every group).
func FromObject(d Delivery) (Envelope, error) {
	text, err := d.dataField()
	if err != nil {
		return Envelope{}, err
	}
	if err := checkObject(text); err != nil {
		return Envelope{}, err
	}
	e := d.brokerMessage()
	e.Data = text
	hints := readHints(text)
	hints.apply(&e.Metadata)
	d.correlate(&e.Metadata)
	return e, nil
}

// FromFields reads an entry of any shape: its fields become an object of
// strings. Names and values must be UTF-8; of a name that occurs twice the last
// counts. A field correlation_id is the correlation id, which is else made up as
// [FromObject] does.
func FromFields(d Delivery) (Envelope, error) {
	if d.Gone() {
		return Envelope{}, fmt.Errorf("entry %s has no fields", d.ID)
	}
	fields := d.Content()
	last := make(map[string]int, len(fields))
	size := len("{}")
	for i, f := range fields {
		if !utf8.ValidString(f.Name) || !utf8.Valid(f.Value) {
			return Envelope{}, fmt.Errorf("field %s is not UTF-8", quoteShort(f.Name))
		}
		last[f.Name] = i
		size += len(f.Name) + len(f.Value) + len(`"": "", `)
	}
	w, separator := make(writer, 0, size), "{"
	for i, f := range fields {
		if last[f.Name] == i {
			w.raw(separator).quoted(f.Name).raw(": ").quoted(string(f.Value))
			separator = ", "
		}
	}
	e := d.brokerMessage()
	e.Data = json.RawMessage(append(w, '}'))
	if i, has := last["correlation_id"]; has && strings.TrimSpace(string(d.Fields[i].Value)) != "" {
		e.Metadata.Domain.CorrelationID = string(d.Fields[i].Value)
	}
	d.correlate(&e.Metadata)
	return e, nil
}

// dataField is Data, or an error that says what the entry has instead.
func (d Delivery) dataField() ([]byte, error) {
	text, ok := d.Data()
	if ok {
		return text, nil
	}
	if d.Gone() {
		return nil, fmt.Errorf("entry %s has no fields", d.ID)
	}
	const most = 5
	var names []string
	for _, f := range d.Fields[:min(len(d.Fields), most)] {
		names = append(names, quoteShort(f.Name))
	}
	if len(d.Fields) > most {
		names = append(names, "…")
	}
	return nil, fmt.Errorf(`no field "data" in the entry, only %s; format = "fields" takes entries of any shape`,
		strings.Join(names, ", "))
}

func (d Delivery) source() Source {
	return Source{Stream: d.Stream, ID: d.ID, Attempt: d.Attempts + 1, Fence: d.Fence}
}

// originalID is the entry's id; of a copy, that of the original.
func (d Delivery) originalID() string {
	if _, id, replayed := d.ReplayedFor(); replayed {
		return id
	}
	return d.ID
}

// brokerMessage is a message that knows nothing but its entry. The copy of an entry
// has the id and the time of the original.
func (d Delivery) brokerMessage() Envelope {
	domain := newDomain()
	domain.Kind = KindBroker
	id := d.originalID()
	return Envelope{
		Metadata: Metadata{
			Headers: Headers{ID: id, Stream: d.Stream, Time: entryTime(id)},
			Domain:  domain,
		},
		Source: d.source(),
	}
}

// correlate makes up a correlation id where there is none.
func (d Delivery) correlate(m *Metadata) {
	if m.Domain.CorrelationID == "" {
		sum := sha256.Sum256([]byte(d.Stream + " " + d.originalID()))
		m.Domain.CorrelationID = hex.EncodeToString(sum[:16])
	}
}

// entryTime is the time in an entry's id ("<milliseconds>-<n>"), or the zero
// time.
func entryTime(id string) time.Time {
	text, _, _ := strings.Cut(id, "-")
	millis, err := strconv.ParseInt(text, 10, 64)
	t := time.UnixMilli(millis).UTC()
	if err != nil || !inRange(t) {
		return time.Time{}
	}
	return t
}

// hints are what a payload may say about itself. All are optional.
type hints struct {
	id   string
	time time.Time
	// metadata.domain's correlation id, metadata's, the payload's own
	correlation [3]string
}

func (h *hints) apply(m *Metadata) {
	if h.id != "" {
		m.Headers.ID = h.id
	}
	if !h.time.IsZero() {
		m.Headers.Time = h.time
	}
	for _, id := range h.correlation {
		if m.Domain.CorrelationID == "" {
			m.Domain.CorrelationID = id
		}
	}
}

// readHints goes through an object that has been checked. Everything in it may
// be of any kind.
func readHints(text []byte) (h hints) {
	s := scanner{text: text}
	s.eachMember(func(key string) {
		switch key {
		case "metadata":
			h = hints{correlation: [3]string{2: h.correlation[2]}}
			h.metadata(&s)
		case "correlation_id":
			h.correlation[2] = s.nonBlank()
		default:
			s.skip()
		}
	})
	return h
}

func (h *hints) metadata(s *scanner) {
	s.eachMember(func(key string) {
		switch key {
		case "headers":
			h.id, h.time = "", time.Time{}
			h.headers(s)
		case "domain":
			h.correlation[0] = ""
			s.eachMember(func(key string) {
				if key != "correlation_id" {
					s.skip()
					return
				}
				h.correlation[0] = s.nonBlank()
			})
		case "correlation_id":
			h.correlation[1] = s.nonBlank()
		default:
			s.skip()
		}
	})
}

func (h *hints) headers(s *scanner) {
	s.eachMember(func(key string) {
		switch key {
		case "id":
			h.id = s.nonBlank()
		case "time":
			text, _ := s.scalar()
			h.time, _ = parseTime(text)
		default:
			s.skip()
		}
	})
}

// eachMember calls member at the value of each member of an object; any other
// value is skipped.
func (s *scanner) eachMember(member func(key string)) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	for s.open(); s.more('}'); {
		member(string(s.key()))
	}
}

// nonBlank takes any value and returns it if it is a string with something in
// it.
func (s *scanner) nonBlank() string {
	if s.peek() != '"' {
		s.skip()
		return ""
	}
	text, _ := s.scalar()
	if len(bytes.TrimSpace(text)) == 0 {
		return ""
	}
	return string(text)
}
