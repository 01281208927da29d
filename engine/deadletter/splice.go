package deadletter

import (
	"bytes"
)

// key is the top-level key that dead letters have and messages have not.
const key = "_dlq_metadata"

// rawKey is the top-level key that holds what could not be spliced.
const rawKey = "_dlq_raw"

// whitespace is JSON's.
const whitespace = " \t\r\n"

// Splice adds md to a JSON object as its last key, `_dlq_metadata`, and leaves
// every other byte as it is: re-encoded, 42.0 would become 42. Of an entry
// that was dead-lettered before, readers take the last such key. text must be a JSON object
// and is not changed.
func Splice(text []byte, md Metadata) []byte {
	end := max(bytes.LastIndexByte(text, '}'), 0)
	head := bytes.TrimRight(text[:end], whitespace)
	spliced := append(make([]byte, 0, len(text)+512), head...)
	if !bytes.HasSuffix(head, []byte("{")) { // only an empty object's inside ends so
		spliced = append(spliced, ", "...)
	}
	spliced = append(spliced, `"`+key+`": `...)
	spliced = appendJSON(spliced, md.wire())
	return append(spliced, '}')
}
