package deadletter

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/message"
)

// key is the top-level key that dead letters have and messages have not.
const key = "_dlq_metadata"

// whitespace is JSON's.
const whitespace = " \t\r\n"

// Splice adds md to a JSON object as its last key, `_dlq_metadata`, and leaves
// every other byte as it is: re-encoded, 42.0 would become 42. Of a entry that
// was parked before, readers take the last such key. text must be a JSON object
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

// wireMetadata has the keys in the order in which Python writes them, and
// failure_reason, which Python reads but never writes.
type wireMetadata struct {
	OriginalStream string  `json:"original_stream"`
	OriginalID     string  `json:"original_id"`
	ConsumerGroup  string  `json:"consumer_group"`
	Consumer       string  `json:"consumer"`
	FailedAt       *string `json:"failed_at"`
	RetryCount     int     `json:"retry_count"`
	FailureReason  string  `json:"failure_reason,omitempty"`
}

func (md Metadata) wire() wireMetadata {
	w := wireMetadata{
		OriginalStream: md.OriginalStream,
		OriginalID:     md.OriginalID,
		ConsumerGroup:  md.ConsumerGroup,
		Consumer:       md.Consumer,
		RetryCount:     md.RetryCount,
		FailureReason:  cut(md.FailureReason),
	}
	if !md.FailedAt.IsZero() {
		at := message.FormatTime(md.FailedAt)
		w.FailedAt = &at
	}
	return w
}

// maxReason bounds failure_reason, in bytes.
const maxReason = 1024

// cut shortens a reason at a character's boundary. What is not UTF-8 in it
// becomes U+FFFD.
func cut(reason string) string {
	reason = strings.ToValidUTF8(reason, string(utf8.RuneError))
	if len(reason) <= maxReason {
		return reason
	}
	const mark = "…"
	end := maxReason - len(mark)
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end] + mark
}
