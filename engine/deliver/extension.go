package deliver

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/observatory-go/observatory/engine/message"
)

// Reason is why an extension attribute is left out of an event.
type Reason string

// The reasons.
const (
	// ReasonName: nothing of its name is a letter or a digit, or it is longer than 64
	// of them.
	ReasonName Reason = "name"
	// ReasonTaken: its name is one of the standard's, one of ours, or that of an
	// extension before it.
	ReasonTaken Reason = "taken"
	// ReasonNested: its value is an object or an array.
	ReasonNested Reason = "nested"
	// ReasonText: its value holds what no attribute may: control characters,
	// or invalid UTF-8; or it is a tracestate that is none.
	ReasonText Reason = "text"
)

// LeftOut is an extension attribute that an event could not have.
type LeftOut struct {
	// Name is the extension's name as the message has it.
	Name   string
	Reason Reason
}

// extension is one attribute beyond the standard's own.
type extension struct {
	name    string
	header  string // its name as a header
	text    string // its value, as in a header
	literal bool   // its text is its value in the JSON format too: a boolean or an integer
}

// json is its value in the JSON format.
func (e extension) json() []byte {
	if e.literal {
		return []byte(e.text)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e.text) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// The names of the attributes that are not an enricher's to set: the standard's,
// with the member of its JSON format that holds the data, and ours.
var reserved = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "subject": true, "time": true,
	"datacontenttype": true, "dataschema": true, "data": true,

	"proteankind": true, "proteanchecksum": true, "proteancorrelationid": true, "proteancausationid": true,
	"sequence": true, "proteansequencetype": true, "proteanstream": true, "proteanentry": true, "proteanfence": true, "traceparent": true,
}

// extensionsOf appends the extensions of a message's event: those that Protean's own
// events have, where the message was read, and what enrichers added. Empty ones
// of ours are left out without being mentioned.
func extensionsOf(m *message.Envelope, all []extension) (_ []extension, leftOut []LeftOut) {
	d, trace := m.Metadata.Domain, traceParent(m.Metadata.Headers.TraceParent)
	for _, e := range [...]struct{ name, header, value string }{
		{"proteankind", "Ce-Proteankind", kind(d.Kind)},
		{"proteanchecksum", "Ce-Proteanchecksum", m.Metadata.Integrity.Checksum},
		{"proteancorrelationid", "Ce-Proteancorrelationid", d.CorrelationID},
		{"proteancausationid", "Ce-Proteancausationid", d.CausationID},
		{"sequence", "Ce-Sequence", d.SequenceID},
		{"proteansequencetype", "Ce-Proteansequencetype", sequenceType(d.SequenceID)},
		{"proteanstream", "Ce-Proteanstream", m.Source.Stream},
		{"proteanentry", "Ce-Proteanentry", m.Source.ID},
		{"proteanfence", "Ce-Proteanfence", fence(m.Source.Fence)},
		{"traceparent", "Ce-Traceparent", trace},
	} {
		switch {
		case e.value == "":
		case !isAttributeText(e.value):
			leftOut = append(leftOut, LeftOut{e.name, ReasonText})
		default:
			all = append(all, extension{name: e.name, header: e.header, text: e.value})
		}
	}
	if len(m.Metadata.Extensions) > len("{}") {
		all, leftOut = enriched(all, leftOut, m.Metadata.Extensions, trace != "")
	}
	return all, leftOut
}

// fence is the number of an ownership; "" where there is none.
func fence(number int64) string {
	if number == 0 {
		return ""
	}
	return strconv.FormatInt(number, 10)
}

// enriched adds the extensions of an object of metadata, in its order. Names
// that begin with "_" are the framework's own, and null is no value. A
// tracestate belongs to a traceparent, and means nothing without.
func enriched(all []extension, leftOut []LeftOut, object json.RawMessage, traced bool) ([]extension, []LeftOut) {
	taken := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, _ = decoder.Token() // the message was decoded: the text is an object
	for decoder.More() {
		token, _ := decoder.Token()
		key, _ := token.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			break
		}
		name := attributeName(key)
		e, reason := extension{}, Reason("")
		switch {
		case strings.HasPrefix(key, "_"), string(value) == "null", name == "tracestate" && !traced:
			continue
		case name == "", len(name) > maxName:
			reason = ReasonName
		case reserved[name], taken[name]:
			reason = ReasonTaken
		default:
			e, reason = valueOf(value)
			if name == "tracestate" && reason == "" && !isTraceState(e.text) {
				reason = ReasonText
			}
		}
		if reason != "" {
			leftOut = append(leftOut, LeftOut{key, reason})
			continue
		}
		taken[name] = true
		e.name, e.header = name, "Ce-"+strings.ToUpper(name[:1])+name[1:]
		all = append(all, e)
	}
	return all, leftOut
}

// maxName is how long an extension's name may be. The standard recommends 20 letters;
// some that are in use have more, and a server refuses a request whose headers are
// too long.
const maxName = 64

// isTraceState reports whether a text is a list of the W3C's form: name=value, joined
// by commas, at most 32 of them and 512 characters, no name twice.
func isTraceState(text string) bool {
	members := strings.Split(text, ",")
	if len(members) > 32 || len(text) > 512 {
		return false
	}
	names := map[string]bool{}
	for _, member := range members {
		member = strings.Trim(member, " \t")
		if member == "" { // allowed
			continue
		}
		name, _, _ := strings.Cut(member, "=")
		if !traceStateMember.MatchString(member) || names[name] {
			return false
		}
		names[name] = true
	}
	return len(names) > 0
}

var traceStateMember = regexp.MustCompile(`^[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$`)

// attributeName brings a key to what the standard allows: lower-case letters and
// digits.
func attributeName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, key)
}

// valueOf is an extension, without a name, that has a JSON value: a string, a
// boolean, or a number, which is a string unless it is one of the standard's
// integers of 32 bits.
func valueOf(value json.RawMessage) (extension, Reason) {
	text := string(value)
	switch value[0] {
	case '{', '[':
		return extension{}, ReasonNested
	case '"':
		if json.Unmarshal(value, &text) != nil || !isAttributeText(text) {
			return extension{}, ReasonText
		}
		return extension{text: text}, ""
	case 't', 'f':
		return extension{text: text, literal: true}, ""
	}
	_, err := strconv.ParseInt(text, 10, 32)
	return extension{text: text, literal: err == nil}, ""
}
