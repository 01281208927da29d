package deadletter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/message"
)

// Compose makes the entry that replaces d, so that nothing of d is lost:
//
//   - Data is the entry's own text with md spliced in where the field `data` is
//     a JSON object in UTF-8. Where it is anything else or absent, Data is an
//     object of md and of what Raw holds, as `_dlq_raw`: a tool that knows only
//     the field `data`, as Protean's own, then replays the content and not an
//     empty object.
//   - Raw is empty where Data says everything. Where the entry's only field is
//     a `data` that could not be spliced, Raw is its bytes as they are.
//     Otherwise it is a JSON object of all fields in their order: a value is a
//     string or, where it is not UTF-8, {"base64": "…"}; a name that is not
//     UTF-8 becomes "base64:…".
//
// What md leaves empty of the entry's origin is taken from d.
func Compose(d message.Delivery, md Metadata) Entry {
	if md.OriginalStream == "" {
		md.OriginalStream = d.Stream
	}
	if md.OriginalID == "" {
		md.OriginalID = d.ID
	}
	if _, first, replayed := d.ReplayedFor(); replayed && md.FirstOriginalID == "" {
		md.FirstOriginalID = first
	}
	d.Fields = d.Content()
	text, present := d.Data()
	entry := Entry{ID: d.ID}
	whole, alone := present && isObject(text), present && len(d.Fields) == 1
	switch {
	case !alone:
		entry.Raw = fieldsObject(d.Fields)
	case !whole:
		entry.Raw = text
	}
	switch {
	case whole:
		entry.Data = Splice(text, md)
	case alone:
		entry.Data = Splice(append(appendValue([]byte(`{"`+rawKey+`": `), text), '}'), md)
	default:
		entry.Data = Splice(append(append([]byte(`{"`+rawKey+`": `), entry.Raw...), '}'), md)
	}
	return entry
}

func isObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, whitespace), []byte("{")) && utf8.Valid(text) && json.Valid(text)
}

// fieldsObject writes an entry's fields as a JSON object. A name that occurs
// twice stands in it twice.
func fieldsObject(fields []message.Field) []byte {
	text := []byte("{")
	for i, f := range fields {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(appendName(text, f.Name), ": "...)
		text = appendValue(text, f.Value)
	}
	return append(text, '}')
}

func appendName(text []byte, name string) []byte {
	if !utf8.ValidString(name) {
		name = "base64:" + base64.StdEncoding.EncodeToString([]byte(name))
	}
	return appendJSON(text, name)
}

func appendValue(text, value []byte) []byte {
	if utf8.Valid(value) {
		return appendJSON(text, string(value))
	}
	return appendJSON(text, map[string][]byte{"base64": value})
}

// appendJSON writes a value that cannot fail to be written, with <, > and & as
// they are.
func appendJSON(text []byte, value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return append(text, bytes.TrimSpace(b.Bytes())...)
}
