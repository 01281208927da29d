package deliver

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/message"
)

// cloudEvent is a message as a CloudEvent 1.0: the attributes of the standard,
// in the JSON of its JSON format, and beside them the extensions and the data.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time,omitzero"`
	DataContentType string    `json:"datacontenttype"`

	Extensions []extension     `json:"-"`
	Data       json.RawMessage `json:"-"`
}

// newEvent returns the event of a message, its extensions appended to those given,
// and which extensions it could not have.
func newEvent(source string, m *message.Envelope, extensions []extension) (cloudEvent, []LeftOut) {
	h := m.Metadata.Headers
	extensions, leftOut := extensionsOf(m, extensions)
	return cloudEvent{
		SpecVersion:     "1.0",
		ID:              eventID(m),
		Source:          source,
		Type:            orElse(h.Type, m.Source.Stream),
		Subject:         subject(m),
		Time:            h.Time.UTC(),
		DataContentType: contentType,
		Extensions:      extensions,
		Data:            m.Data,
	}, leftOut
}

// check fails where an attribute that tells events apart is a text that is not
// allowed: without it the event would be another.
func (e cloudEvent) check(allowed func(string) bool) error {
	for _, core := range [...]struct{ name, value string }{{"id", e.ID}, {"type", e.Type}, {"subject", e.Subject}} {
		if !allowed(core.value) {
			return fmt.Errorf("ce-%s holds control characters or invalid UTF-8: %q", core.name, clip(core.value, 100))
		}
	}
	return nil
}

// subject is the id of the message's aggregate, found in its stream's name as
// Protean's own to_cloudevent does: after the category, or where that does not
// lead the name, after the first mark of a command, a fact event or an event.
func subject(m *message.Envelope) string {
	stream, category := m.Metadata.Headers.Stream, m.Metadata.Domain.StreamCategory
	if m.Metadata.Domain.Kind == message.KindBroker {
		return ""
	}
	if category != "" {
		for _, mark := range []string{"-fact-", ":command-", "-"} {
			if id, ok := strings.CutPrefix(stream, category+mark); ok {
				return id
			}
		}
	}
	for _, mark := range []string{":command-", "-fact-", "-"} {
		if _, id, ok := strings.Cut(stream, mark); ok {
			return id
		}
	}
	return ""
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

// traceParent is a trace context in the W3C's text form, or "" where it is not a
// valid one: ids of lower-case hex digits, of the right length, not all zero.
func traceParent(t message.TraceParent) string {
	if !isTraceID(t.TraceID, 32) || !isTraceID(t.ParentID, 16) {
		return ""
	}
	flags := "00"
	if t.Sampled {
		flags = "01"
	}
	return "00-" + t.TraceID + "-" + t.ParentID + "-" + flags
}

func isTraceID(id string, length int) bool {
	return len(id) == length && strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != ""
}

// isAttributeText reports whether CloudEvents allows the text as an attribute.
func isAttributeText(s string) bool {
	first := 0
	for first < len(s) && ' ' <= s[first] && s[first] <= '~' {
		first++
	}
	for i, r := range s[first:] {
		control := r < ' ' || 0x7f <= r && r <= 0x9f
		nonCharacter := r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef
		invalid := r == utf8.RuneError && !strings.HasPrefix(s[first+i:], "\uFFFD")
		if control || nonCharacter || invalid {
			return false
		}
	}
	return true
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
