package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// referenceDecode reads a message the slow way, by encoding/json: what Decode
// accepts must come out the same here.
func referenceDecode(text []byte) (Envelope, error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return Envelope{}, errors.New("not JSON in UTF-8")
	}
	top := members(text)
	e := Envelope{Data: top["data"]}
	m := members(top["metadata"])
	headers, has := m["headers"]
	if _, flat := m["fqn"]; !has && flat {
		e.Metadata.Headers = Headers{ID: asText(m["id"]), Time: asTime(m["timestamp"]), Type: asText(m["type"]), Stream: asText(m["stream"])}
		e.Metadata.Domain = asDomain(m)
		return e, nil
	}
	if headers == nil {
		headers = top["headers"]
	}
	if headers == nil {
		h := Headers{ID: asText(top["id"]), Time: asTime(top["time"]), Type: asText(top["type"]), Stream: asText(top["stream"])}
		e.Metadata.Headers = h
	} else {
		e.Metadata.Headers = asHeaders(members(headers))
	}
	envelope := members(m["envelope"])
	e.Metadata.Integrity = Integrity{SpecVersion: asText(envelope["specversion"]), Checksum: asText(envelope["checksum"])}
	if domain := members(m["domain"]); domain != nil {
		e.Metadata.Domain = asDomain(domain)
	}
	store := members(m["event_store"])
	e.Metadata.EventStore = EventStore{GlobalPosition: as[*int64](store["global_position"]), Position: as[*int64](store["position"])}
	e.Metadata.Extensions = m["extensions"]
	return e, nil
}

func asHeaders(h map[string]json.RawMessage) Headers {
	trace := members(h["traceparent"])
	return Headers{
		ID: asText(h["id"]), Time: asTime(h["time"]), Type: asText(h["type"]), Stream: asText(h["stream"]),
		TraceParent: TraceParent{
			TraceID:  asText(trace["trace_id"]),
			ParentID: asText(trace["parent_id"]),
			Sampled:  as[bool](trace["sampled"]),
		},
		IdempotencyKey: asText(h["idempotency_key"]), Deadline: asTime(h["deadline"]),
	}
}

func asDomain(m map[string]json.RawMessage) Domain {
	d := Domain{
		FQN: asText(m["fqn"]), Kind: asText(m["kind"]), OriginStream: asText(m["origin_stream"]),
		StreamCategory: asText(m["stream_category"]), Version: 1, SequenceID: asText(m["sequence_id"]), Asynchronous: true,
		ExpectedVersion: as[*int64](m["expected_version"]), Priority: as[int](m["priority"]),
		CorrelationID: asText(m["correlation_id"]), CausationID: asText(m["causation_id"]),
	}
	if v, ok := m["version"]; ok {
		d.Version = as[int](bytes.Trim(v, `v"`))
	}
	if v, ok := m["asynchronous"]; ok {
		d.Asynchronous = as[bool](v)
	}
	return d
}

func members(text json.RawMessage) map[string]json.RawMessage {
	return as[map[string]json.RawMessage](text)
}

func asText(text json.RawMessage) string { return as[string](text) }

func as[T any](text json.RawMessage) (value T) {
	_ = json.Unmarshal(text, &value)
	return value
}

// asTime is exact for the wire's own form only; for others the parser under
// test is asked, which has a table of its own.
func asTime(text json.RawMessage) time.Time {
	var s string
	if json.Unmarshal(text, &s) != nil {
		s = string(text)
	}
	if t, err := time.Parse("2006-01-02T15:04:05.999999-07:00", s); err == nil && len(s) <= 32 {
		return t.UTC()
	}
	t, _ := parseTime([]byte(s))
	if t.IsZero() {
		t, _ = parseEpoch([]byte(s))
	}
	return t
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"data": {}, "metadata": {"fqn": "a", "version": "v1"}}`))
	f.Add([]byte(`{"data": {}, "metadata": {}, "headers": {"time": 17}, "id": null}`))
	f.Add([]byte(meta(`"headers": {"time": "2026-03-02T10:30:00.123456789Z", "traceparent": {"sampled": true}}`)))
	for _, event := range fixture[entry](f, "redis-events.jsonl")[:8] {
		f.Add([]byte(event.Fields[DataField]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		original := bytes.Clone(text)
		e, err := Decode(text)
		require.Equal(t, original, text)
		checkScanner(t, text)
		if err != nil {
			var typed *DecodeError
			require.ErrorAs(t, err, &typed)
			require.NotEmpty(t, typed.Reason)
			return
		}
		want, err := referenceDecode(text)
		require.NoError(t, err)
		require.Equal(t, want, e)
	})
}

// checkScanner compares what is JSON for us with what is JSON for
// encoding/json.
func checkScanner(t *testing.T, text []byte) {
	s := scanner{text: text}
	s.skip()
	s.end()
	valid := json.Valid(text)
	switch {
	case s.err == nil:
		require.True(t, valid && utf8.Valid(text), "accepted %q", text)
	case valid && utf8.Valid(text):
		require.Contains(t, s.err.Reason, "nested deeper")
	}
}
