package deadletter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/message"
)

// rawField is the field of an entry that holds what `data` could not keep.
const rawField = "raw"

// Stored is one entry of a dead-letter queue, read.
type Stored struct {
	// Stream is the stream whose queue it is in, and ID its id in the queue.
	Stream, ID string
	// Metadata is what was written beside the message. Of an entry that is no dead
	// letter it is zero.
	Metadata Metadata
	// MessageID and Type are those of the message's headers; "" where the entry has
	// none that can be read.
	MessageID, Type string
	// Fields are the entry's own, as they are in the queue.
	Fields []message.Field
}

// storedText is what is read of the field data.
type storedText struct {
	Metadata struct {
		Headers struct {
			ID   any `json:"id"`
			Type any `json:"type"`
		} `json:"headers"`
	} `json:"metadata"`
	DeadLetter json.RawMessage `json:"_dlq_metadata"` // of two such keys the last counts
}

// Read reads an entry of the queue of a stream. It never fails: what cannot be
// read is empty, its reason [Unknown].
func Read(stream string, d message.Delivery) Stored {
	s := Stored{Stream: stream, ID: d.ID, Fields: d.Fields}
	text, _ := d.Data()
	var read storedText
	if json.Unmarshal(text, &read) != nil { // a part of another type leaves the others unread
		var loose struct {
			DeadLetter json.RawMessage `json:"_dlq_metadata"`
		}
		_ = json.Unmarshal(text, &loose)
		read = storedText{DeadLetter: loose.DeadLetter}
	}
	s.MessageID, _ = read.Metadata.Headers.ID.(string)
	s.Type, _ = read.Metadata.Headers.Type.(string)
	var md struct {
		wireMetadata
		RetryCount any `json:"retry_count"`
	}
	if read.DeadLetter != nil && json.Unmarshal(read.DeadLetter, &md) == nil {
		retries, _ := md.RetryCount.(float64)
		s.Metadata = Metadata{
			OriginalStream: md.OriginalStream, OriginalID: md.OriginalID, FirstOriginalID: md.FirstOriginal, ConsumerGroup: md.ConsumerGroup, Consumer: md.Consumer,
			RetryCount: int(retries), Reason: md.Reason, FailureReason: md.FailureReason,
		}
		if md.FailedAt != nil {
			s.Metadata.FailedAt, _ = time.Parse(time.RFC3339Nano, *md.FailedAt)
		}
	}
	if !slices.Contains(Reasons, s.Metadata.Reason) {
		s.Metadata.Reason = Unknown
	}
	return s
}

// At is when the message was given up. What Python wrote has the time of the
// message in its place: there, and where nothing is said, it is when the entry was
// added to the queue.
func (s Stored) At() time.Time {
	if s.Metadata.FailureReason != "" && !s.Metadata.FailedAt.IsZero() {
		return s.Metadata.FailedAt
	}
	id, err := message.ParseEntryID(s.ID)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(id.Milliseconds))
}

// Original returns the fields that the original entry had, byte for byte. It fails
// where the entry does not have them any more, as what Python wrote of an entry that
// it could not read.
func (s Stored) Original() ([]message.Field, error) {
	d := message.Delivery{Fields: s.Fields}
	var raw []byte
	hasRaw := false
	for _, f := range s.Fields {
		if f.Name == rawField {
			raw, hasRaw = f.Value, true
		}
	}
	if hasRaw {
		if fields, err := parseFields(raw); err == nil {
			return fields, nil
		}
		return []message.Field{{Name: message.DataField, Value: raw}}, nil
	}
	text, ok := d.Data()
	if !ok {
		return nil, errors.New(`the entry has no field "data"`)
	}
	text, err := unsplice(text)
	if err != nil {
		return nil, err
	}
	return []message.Field{{Name: message.DataField, Value: text}}, nil
}

// unsplice takes the keys that [Splice] adds out of an object, and leaves every other
// byte as it is.
func unsplice(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New(`its field "data" is not a JSON object`)
	}
	start := d.InputOffset()
	kept := slices.Clone(text[:start])
	end, members := start, 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf(`its field "data" is not JSON: %w`, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf(`its field "data" is not JSON: %w`, err)
		}
		member := text[end:d.InputOffset()]
		end = d.InputOffset()
		if name == key {
			continue
		}
		if members == 0 {
			member = bytes.TrimLeft(member, whitespace+",")
		}
		kept = append(kept, member...)
		members++
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf(`its field "data" is not JSON: %w`, err)
	}
	if members == 0 {
		return nil, errors.New("the original's content was not kept")
	}
	return append(kept, text[end:]...), nil
}

// parseFields reads what fieldsObject wrote.
func parseFields(text []byte) ([]message.Field, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("no object")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	var fields []message.Field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		f := message.Field{Name: parseName(name.(string))}
		var plain string
		var encoded struct {
			Base64 *[]byte `json:"base64"`
		}
		switch {
		case json.Unmarshal(value, &plain) == nil:
			f.Value = []byte(plain)
		case json.Unmarshal(value, &encoded) == nil && encoded.Base64 != nil:
			f.Value = *encoded.Base64
		default:
			return nil, errors.New("no field")
		}
		fields = append(fields, f)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than an object")
	}
	return fields, nil
}

// parseName reads what appendName wrote.
func parseName(name string) string {
	if text, encoded := strings.CutPrefix(name, "base64:"); encoded {
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && !utf8.Valid(decoded) {
			return string(decoded)
		}
	}
	return name
}
