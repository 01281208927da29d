package message

import (
	"encoding"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var _ encoding.TextAppender = (*Envelope)(nil)

func TestWhatIsEncodedIsByteForByteWhatTheOriginalWrote(t *testing.T) {
	t.Parallel()
	for _, event := range fixture[entry](t, "redis-events.jsonl") {
		text := event.Fields[DataField]
		e, err := Decode([]byte(text))
		require.NoError(t, err)
		encoded, err := e.Encode()
		require.NoError(t, err)
		require.Equal(t, text, string(encoded))
	}
}

func TestEveryFieldSurvivesARoundTrip(t *testing.T) {
	t.Parallel()
	three, minus := int64(3), int64(-1)
	at := time.Date(2026, 3, 2, 10, 30, 0, 125000, time.UTC)
	e := Envelope{
		Data: json.RawMessage(`{"a": 42.0}`),
		Metadata: Metadata{
			Headers: Headers{
				ID: "i\"\\\n\u00e9😀\x7f", Time: at, Type: "T.v1", Stream: "s-1",
				TraceParent:    TraceParent{TraceID: "0af7651916cd43dd8448eb211c80319c", ParentID: "b7ad6b7169203331", Sampled: true},
				IdempotencyKey: "k", Deadline: at.Add(time.Minute),
			},
			Integrity: Integrity{SpecVersion: "1.0"},
			Domain: Domain{
				FQN: "f", Kind: KindCommand, OriginStream: "o", StreamCategory: "s", Version: 7, SequenceID: "0.1",
				ExpectedVersion: &minus, Priority: -50, CorrelationID: "c", CausationID: "d",
			},
			EventStore: EventStore{GlobalPosition: &three},
			Extensions: json.RawMessage(`{"tenant": 1}`),
		},
	}
	text, err := e.Encode()
	require.NoError(t, err)
	require.True(t, json.Valid(text))
	again, err := Decode(text)
	require.NoError(t, err)
	require.Equal(t, e, again)
}

func TestNewMessagesAreSealedAndComplete(t *testing.T) {
	t.Parallel()
	headers := Headers{ID: "shop::order-1-0.1", Time: time.Unix(1, 0).UTC(), Type: "Shop.OrderPlaced.v3", Stream: "shop::order-1"}
	event, err := New(KindEvent, headers, json.RawMessage(`{"b": 1, "a": 2.0}`))
	require.NoError(t, err)
	require.NoError(t, event.Verify())
	require.NotEmpty(t, event.Metadata.Integrity.Checksum)
	require.Equal(t, Domain{
		FQN: headers.Type, Kind: KindEvent, StreamCategory: "shop::order", Version: 3, Asynchronous: true,
	}, event.Metadata.Domain)

	headers.Type = "PlaceOrder"
	command, err := New(KindCommand, headers, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.Empty(t, command.Metadata.Domain.StreamCategory, "always null for commands")
	require.Equal(t, 1, command.Metadata.Domain.Version)
}

func TestOnlyObjectsAreEncoded(t *testing.T) {
	t.Parallel()
	_, err := New(KindEvent, Headers{ID: "i"}, json.RawMessage(`[1]`))
	require.EqualError(t, err, `new message "i": data: message: must be an object, is an array`)
	for _, e := range []Envelope{
		{},
		{Data: json.RawMessage(`null`)},
		{Data: json.RawMessage(`{} {}`)},
		{Data: json.RawMessage(`{}`), Metadata: Metadata{Extensions: json.RawMessage(`1`)}},
	} {
		_, err := e.Encode()
		require.ErrorContains(t, err, `encode message ""`)
	}
	empty := Envelope{Data: json.RawMessage(`{}`)}
	text, err := empty.AppendText([]byte("before "))
	require.NoError(t, err)
	require.Equal(t, `before {"data": {}, "metadata": {"headers": {"id": null, "time": null, "type": null, "stream": null, `+
		`"traceparent": null, "idempotency_key": null, "deadline": null}, "envelope": null, "domain": null, `+
		`"event_store": null, "extensions": {}}}`, string(text))
}
