package deliver

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// cloudEvent is a message as a CloudEvent 1.0. Its JSON is the standard's JSON
// format.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time,omitzero"`
	DataContentType string          `json:"datacontenttype"`
	Kind            string          `json:"proteankind,omitempty"`
	Checksum        string          `json:"proteanchecksum,omitempty"`
	CorrelationID   string          `json:"proteancorrelationid,omitempty"`
	CausationID     string          `json:"proteancausationid,omitempty"`
	Sequence        string          `json:"sequence,omitempty"`
	SequenceType    string          `json:"proteansequencetype,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
}

func newEvent(source string, m *message.Envelope) cloudEvent {
	h, d := m.Metadata.Headers, m.Metadata.Domain
	return cloudEvent{
		SpecVersion:     "1.0",
		ID:              eventID(m),
		Source:          source,
		Type:            orElse(h.Type, m.Source.Stream),
		Subject:         h.Stream,
		Time:            h.Time.UTC(),
		DataContentType: contentType,
		Kind:            kind(d.Kind),
		Checksum:        m.Metadata.Integrity.Checksum,
		CorrelationID:   d.CorrelationID,
		CausationID:     d.CausationID,
		Sequence:        d.SequenceID,
		SequenceType:    sequenceType(d.SequenceID),
		TraceParent:     traceParent(h.TraceParent),
		Data:            m.Data,
	}
}

// extensions are the attributes beyond the standard's own; empty ones are left
// out.
func (e cloudEvent) extensions() map[string]any {
	all := map[string]any{}
	for name, value := range map[string]string{
		"proteankind":          e.Kind,
		"proteanchecksum":      e.Checksum,
		"proteancorrelationid": e.CorrelationID,
		"proteancausationid":   e.CausationID,
		"sequence":             e.Sequence,
		"proteansequencetype":  e.SequenceType,
		"traceparent":          e.TraceParent,
	} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// eventID is the message's own id where that names one message: the ids of
// commands are those of their aggregates, and repeat.
func eventID(m *message.Envelope) string {
	id := m.Metadata.Headers.ID
	if id == "" || m.Metadata.Domain.Kind == message.KindCommand {
		return m.Source.Stream + "/" + m.Source.ID
	}
	return id
}

func kind(k string) string {
	if k == message.KindBroker {
		return ""
	}
	return k
}

// sequenceType says how to compare sequences: event-sourced aggregates count in
// integers, others in "<version>.<n>".
func sequenceType(sequence string) string {
	switch {
	case sequence == "":
		return ""
	case strings.Contains(sequence, "."):
		return "DotNotation"
	default:
		return "Integer"
	}
}

func traceParent(t message.TraceParent) string {
	if t.TraceID == "" {
		return ""
	}
	flags := "00"
	if t.Sampled {
		flags = "01"
	}
	return fmt.Sprintf("00-%s-%s-%s", t.TraceID, t.ParentID, flags)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Source returns the CloudEvents source of a domain: uri (the file's
// `source_uri`) where it is set, else `urn:protean:<domain>`, the domain's name
// in the form in which it prefixes streams (`MyShop` is `my_shop`).
func Source(uri, domain string) string {
	if uri != "" {
		return uri
	}
	return "urn:protean:" + normalise(domain)
}

var (
	acronym  = regexp.MustCompile(`([A-Z]+)([A-Z][a-z])`)
	hump     = regexp.MustCompile(`([a-z\d])([A-Z])`)
	notAWord = regexp.MustCompile(`[^A-Za-z0-9]+`)
)

func normalise(domain string) string {
	words := acronym.ReplaceAllString(domain, "${1}_$2")
	words = hump.ReplaceAllString(words, "${1}_$2")
	words = notAWord.ReplaceAllString(words, "_")
	return strings.ToLower(strings.Trim(words, "_"))
}
