package message

import (
	"encoding/json"
	"testing"
)

// benchText is a real event of about 750 bytes.
func benchText(b *testing.B) []byte {
	text := []byte(fixture[entry](b, "redis-events.jsonl")[0].Fields[DataField])
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	return text
}

func BenchmarkDecode(b *testing.B) {
	text := benchText(b)
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeAndVerify(b *testing.B) {
	text := benchText(b)
	for b.Loop() {
		e, err := Decode(text)
		if err != nil || e.Verify() != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	e, err := Decode(benchText(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(e.Data)))
	for b.Loop() {
		if err := e.Verify(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, err := Decode(benchText(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON decodes into a struct what a handler receives, as a
// plain loop over a stream would.
func BenchmarkEncodingJSON(b *testing.B) {
	text := benchText(b)
	for b.Loop() {
		var e struct {
			Data     json.RawMessage `json:"data"`
			Metadata struct {
				Headers struct {
					ID             string `json:"id"`
					Time           string `json:"time"`
					Type           string `json:"type"`
					Stream         string `json:"stream"`
					IdempotencyKey string `json:"idempotency_key"`
					Deadline       string `json:"deadline"`
					TraceParent    *struct {
						TraceID  string `json:"trace_id"`
						ParentID string `json:"parent_id"`
						Sampled  bool   `json:"sampled"`
					} `json:"traceparent"`
				} `json:"headers"`
				Envelope struct {
					SpecVersion string `json:"specversion"`
					Checksum    string `json:"checksum"`
				} `json:"envelope"`
				Domain struct {
					FQN             string `json:"fqn"`
					Kind            string `json:"kind"`
					OriginStream    string `json:"origin_stream"`
					StreamCategory  string `json:"stream_category"`
					Version         int    `json:"version"`
					SequenceID      string `json:"sequence_id"`
					Asynchronous    bool   `json:"asynchronous"`
					ExpectedVersion *int64 `json:"expected_version"`
					Priority        int    `json:"priority"`
					CorrelationID   string `json:"correlation_id"`
					CausationID     string `json:"causation_id"`
				} `json:"domain"`
				Extensions json.RawMessage `json:"extensions"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			b.Fatal(err)
		}
	}
}
