package message

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// New makes a message ready to be encoded: sealed with its checksum,
// asynchronous, of the version that ends its type ("Shop.OrderPlaced.v2"), and,
// for an event, of the category of its stream. kind is [KindEvent] or
// [KindCommand]; data must be a JSON object and is kept, not copied.
func New(kind string, h Headers, data json.RawMessage) (Envelope, error) {
	if err := checkObject(data); err != nil {
		return Envelope{}, fmt.Errorf("new message %q: data: %w", h.ID, err)
	}
	sum, err := Checksum(data)
	if err != nil {
		return Envelope{}, err
	}
	domain := newDomain()
	domain.FQN, domain.Kind, domain.Version = h.Type, kind, versionOf(h.Type)
	if kind == KindEvent {
		domain.StreamCategory = Category(h.Stream)
	}
	return Envelope{Data: data, Metadata: Metadata{
		Headers:   h,
		Integrity: Integrity{SpecVersion: "1.0", Checksum: sum},
		Domain:    domain,
	}}, nil
}

// versionOf is the number that ends a type, "2" in "Shop.OrderPlaced.v2", or 1.
func versionOf(typ string) int {
	suffix := typ[strings.LastIndexByte(typ, '.')+1:]
	digits, found := strings.CutPrefix(suffix, "v")
	if n, err := strconv.Atoi(digits); found && err == nil {
		return n
	}
	return 1
}

// Encode is the JSON text that travels, with the keys that Python readers
// demand and no others, in their order. Payload and extensions stand in it as
// they are; they must be JSON objects. What is empty is null; so is the whole
// domain object if it is the zero Domain, which Python readers do not handle.
func (e *Envelope) Encode() ([]byte, error) {
	return e.AppendText(make([]byte, 0, 900+len(e.Data)+len(e.Metadata.Extensions)))
}

// AppendText appends what [Envelope.Encode] returns. It implements
// [encoding.TextAppender].
func (e *Envelope) AppendText(dst []byte) ([]byte, error) {
	extensions := e.Metadata.Extensions
	if extensions == nil {
		extensions = json.RawMessage("{}")
	}
	if err := checkObject(e.Data); err != nil {
		return dst, fmt.Errorf("encode message %q: data: %w", e.Metadata.Headers.ID, err)
	}
	if err := checkObject(extensions); err != nil {
		return dst, fmt.Errorf("encode message %q: extensions: %w", e.Metadata.Headers.ID, err)
	}
	w := writer(dst)
	w.raw(`{"data": `).json(e.Data).raw(`, "metadata": {"headers": `)
	w.headers(&e.Metadata.Headers)
	w.raw(`, "envelope": `)
	w.integrity(e.Metadata.Integrity)
	w.raw(`, "domain": `)
	w.domain(&e.Metadata.Domain)
	w.raw(`, "event_store": `)
	w.eventStore(e.Metadata.EventStore)
	w.raw(`, "extensions": `).json(extensions).raw(`}}`)
	return w, nil
}

// checkObject reports why a text is not a JSON object.
func checkObject(text []byte) error {
	d := decoder{scanner: scanner{text: text}}
	d.rawObject()
	d.end()
	if d.err != nil {
		return d.err
	}
	return nil
}

// writer appends the wire's JSON, with Python's spacing.
type writer []byte

func (w *writer) raw(s string) *writer {
	*w = append(*w, s...)
	return w
}

func (w *writer) json(text json.RawMessage) *writer {
	*w = append(*w, text...)
	return w
}

func (w *writer) headers(h *Headers) {
	w.raw(`{"id": `).text(h.ID).raw(`, "time": `).time(h.Time)
	w.raw(`, "type": `).text(h.Type).raw(`, "stream": `).text(h.Stream)
	w.raw(`, "traceparent": `).traceParent(h.TraceParent)
	w.raw(`, "idempotency_key": `).text(h.IdempotencyKey)
	w.raw(`, "deadline": `).time(h.Deadline).raw(`}`)
}

func (w *writer) traceParent(t TraceParent) *writer {
	if t == (TraceParent{}) {
		return w.raw("null")
	}
	w.raw(`{"trace_id": `).quoted(t.TraceID).raw(`, "parent_id": `).quoted(t.ParentID)
	return w.raw(`, "sampled": `).boolean(t.Sampled).raw(`}`)
}

func (w *writer) integrity(i Integrity) *writer {
	if i == (Integrity{}) {
		return w.raw("null")
	}
	return w.raw(`{"specversion": `).quoted(i.SpecVersion).raw(`, "checksum": `).text(i.Checksum).raw(`}`)
}

func (w *writer) domain(m *Domain) *writer {
	if *m == (Domain{}) {
		return w.raw("null")
	}
	w.raw(`{"fqn": `).text(m.FQN).raw(`, "kind": `).text(m.Kind)
	w.raw(`, "origin_stream": `).text(m.OriginStream)
	w.raw(`, "stream_category": `).text(m.StreamCategory)
	w.raw(`, "version": `).integer(int64(m.Version))
	w.raw(`, "sequence_id": `).text(m.SequenceID)
	w.raw(`, "asynchronous": `).boolean(m.Asynchronous)
	w.raw(`, "expected_version": `).optional(m.ExpectedVersion)
	w.raw(`, "priority": `).integer(int64(m.Priority))
	w.raw(`, "correlation_id": `).text(m.CorrelationID)
	return w.raw(`, "causation_id": `).text(m.CausationID).raw(`}`)
}

func (w *writer) eventStore(s EventStore) *writer {
	if s == (EventStore{}) {
		return w.raw("null")
	}
	w.raw(`{"global_position": `).optional(s.GlobalPosition)
	return w.raw(`, "position": `).optional(s.Position).raw(`}`)
}

// text writes a string, or null for an empty one.
func (w *writer) text(s string) *writer {
	if s == "" {
		return w.raw("null")
	}
	return w.quoted(s)
}

// quoted writes a string; what is not UTF-8 in it becomes U+FFFD.
func (w *writer) quoted(s string) *writer {
	w.raw(`"`)
	for len(s) > 0 {
		plain := 0
		for plain < len(s) && ' ' <= s[plain] && s[plain] < 0x7f && s[plain] != '"' && s[plain] != '\\' {
			plain++
		}
		w.raw(s[:plain])
		if s = s[plain:]; s != "" {
			r, size := utf8.DecodeRuneInString(s)
			*w = appendASCII(*w, r)
			s = s[size:]
		}
	}
	return w.raw(`"`)
}

func (w *writer) time(t time.Time) *writer {
	if t.IsZero() {
		return w.raw("null")
	}
	*w = append(appendTime(append(*w, '"'), t), '"')
	return w
}

func (w *writer) boolean(b bool) *writer {
	*w = strconv.AppendBool(*w, b)
	return w
}

func (w *writer) integer(n int64) *writer {
	*w = strconv.AppendInt(*w, n, 10)
	return w
}

func (w *writer) optional(n *int64) *writer {
	if n == nil {
		return w.raw("null")
	}
	return w.integer(*n)
}
