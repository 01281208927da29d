package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Recorded is one message as an event store keeps it.
type Recorded struct {
	// Stream is the message's own stream: its category, a hyphen, and an id.
	Stream string
	// Position is where it stands in its stream, from 0, and GlobalPosition in
	// the store, from 1.
	Position       int64
	GlobalPosition int64
	// ID is the message's own where the store knows it, else the row's.
	ID, Type       string
	Data, Metadata json.RawMessage
	// Time is when it was written; zero where the store has none that is finite.
	Time time.Time
}

// Record returns the message as it is to be appended to an event store: without
// positions and time. Its headers must name a stream.
func (e Envelope) Record() (Recorded, error) {
	h := e.Metadata.Headers
	if h.Stream == "" {
		return Recorded{}, fmt.Errorf("message %q names no stream in its headers", h.ID)
	}
	text, err := e.Encode()
	if err != nil {
		return Recorded{}, fmt.Errorf("message %q: %w", h.ID, err)
	}
	var parts struct{ Data, Metadata json.RawMessage }
	if err := json.Unmarshal(text, &parts); err != nil {
		return Recorded{}, errors.New("message " + strconv.Quote(h.ID) + " is not encoded as an object")
	}
	return Recorded{Stream: h.Stream, ID: h.ID, Type: h.Type, Data: parts.Data, Metadata: parts.Metadata}, nil
}

// IsForeign reports whether another kind of program wrote the row, as Eventide and
// other clients of the store do: its metadata have no headers, or there are none.
func (r Recorded) IsForeign() bool {
	return !bytes.Contains(r.Metadata, []byte(`"headers"`)) && !bytes.Contains(r.Metadata, []byte(`"fqn"`)) // fqn: of old releases of Protean
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
