package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryEventIsItsOwnAndItsChecksumHolds(t *testing.T) {
	t.Parallel()
	const n = 3 * aggregates
	texts, err := events(n, aggregates)
	require.NoError(t, err)
	require.Len(t, texts, n)
	streams := map[string]bool{}
	for i, text := range texts {
		var m envelope
		require.NoError(t, json.Unmarshal([]byte(text), &m))
		payload, err := canonical(m.Data)
		require.NoError(t, err)
		require.Equal(t, checksum(payload), m.Metadata.Envelope.Checksum, text)
		got, err := number(m.Metadata.Headers.ID)
		require.NoError(t, err)
		require.Equal(t, i, got, m.Metadata.Headers.ID)
		require.Regexp(t, "^"+m.Metadata.Headers.Stream+"-", m.Metadata.Headers.ID)
		require.NotContains(t, text, "{aggregate}")
		streams[m.Metadata.Headers.Stream] = true
	}
	require.Greater(t, len(streams), aggregates, "events of each type come in many aggregates")
}
