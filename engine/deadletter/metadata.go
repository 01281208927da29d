package deadletter

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/message"
)

// Metadata is the `_dlq_metadata` object of a dead letter.
type Metadata struct {
	OriginalStream string
	OriginalID     string
	// FirstOriginalID is the id of the first original, where the entry that was given up
	// is a copy that a replay had added; "" where it is none.
	FirstOriginalID string
	ConsumerGroup   string
	Consumer        string
	FailedAt        time.Time
	// RetryCount is the number of attempts made; 0 where no handler was called.
	RetryCount int
	// Reason is why the message was given up; "" where that is not known.
	Reason Reason
	// FailureReason is the error's text.
	FailureReason string
}

// wireMetadata has the keys in the order in which Python writes them, then reason
// and first_original_id, which are ours, and failure_reason, which Python reads but never writes.
type wireMetadata struct {
	OriginalStream string  `json:"original_stream"`
	OriginalID     string  `json:"original_id"`
	ConsumerGroup  string  `json:"consumer_group"`
	Consumer       string  `json:"consumer"`
	FailedAt       *string `json:"failed_at"`
	RetryCount     int     `json:"retry_count"`
	Reason         Reason  `json:"reason,omitempty"`
	FirstOriginal  string  `json:"first_original_id,omitempty"`
	FailureReason  string  `json:"failure_reason,omitempty"`
}

func (md Metadata) wire() wireMetadata {
	w := wireMetadata{
		OriginalStream: md.OriginalStream,
		OriginalID:     md.OriginalID,
		ConsumerGroup:  md.ConsumerGroup,
		Consumer:       md.Consumer,
		RetryCount:     md.RetryCount,
		Reason:         md.Reason,
		FirstOriginal:  md.FirstOriginalID,
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
