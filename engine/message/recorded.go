package message

import (
	"encoding/json"
	"strconv"
)

// Recorded is one message as an event store keeps it.
type Recorded struct {
	// Stream is the message's own stream: its category, a hyphen, and an id.
	Stream string
	// Position is where it stands in its stream, from 0, and GlobalPosition in
	// the store, from 1.
	Position       int64
	GlobalPosition int64
	ID, Type       string
	Data, Metadata json.RawMessage
}

// Delivery is the message as an entry that [FromDelivery] reads: one field with
// the payload and the metadata. Its id is the global position.
func (r Recorded) Delivery() Delivery {
	text := make([]byte, 0, len(r.Data)+len(r.Metadata)+len(`{"data": , "metadata": }`))
	text = append(text, `{"data": `...)
	text = append(text, r.Data...)
	if len(r.Metadata) > 0 {
		text = append(text, `, "metadata": `...)
		text = append(text, r.Metadata...)
	}
	text = append(text, '}')
	return Delivery{
		Stream: r.Stream, ID: strconv.FormatInt(r.GlobalPosition, 10), Position: r.GlobalPosition,
		Fields: []Field{{Name: DataField, Value: text}},
	}
}
