package main

import (
	"encoding/json"
	"time"
)

// envelope is what the contestants without an engine decode with encoding/json:
// all that our handler receives in its message.Envelope, so that each pays for
// the same knowledge.
type envelope struct {
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		Headers    headers         `json:"headers"`
		Envelope   integrity       `json:"envelope"`
		Domain     domain          `json:"domain"`
		EventStore *position       `json:"event_store"`
		Extensions json.RawMessage `json:"extensions"`
	} `json:"metadata"`
}

type headers struct {
	ID             string       `json:"id"`
	Time           time.Time    `json:"time"`
	Type           string       `json:"type"`
	Stream         string       `json:"stream"`
	TraceParent    *traceParent `json:"traceparent"`
	IdempotencyKey *string      `json:"idempotency_key"`
	Deadline       *time.Time   `json:"deadline"`
}

type traceParent struct {
	TraceID  string `json:"trace_id"`
	ParentID string `json:"parent_id"`
	Sampled  bool   `json:"sampled"`
}

type integrity struct {
	SpecVersion string `json:"specversion"`
	Checksum    string `json:"checksum"`
}

type domain struct {
	FQN             string  `json:"fqn"`
	Kind            string  `json:"kind"`
	OriginStream    *string `json:"origin_stream"`
	StreamCategory  string  `json:"stream_category"`
	Version         int     `json:"version"`
	SequenceID      string  `json:"sequence_id"`
	Asynchronous    bool    `json:"asynchronous"`
	ExpectedVersion *int64  `json:"expected_version"`
	Priority        int     `json:"priority"`
	CorrelationID   string  `json:"correlation_id"`
	CausationID     string  `json:"causation_id"`
}

type position struct {
	GlobalPosition *int64 `json:"global_position"`
	Position       *int64 `json:"position"`
}
