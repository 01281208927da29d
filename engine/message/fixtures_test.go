package message

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// entry is one stream entry that the real Protean wrote.
type entry struct {
	Stream string
	ID     string
	Fields map[string]string
}

func (e entry) delivery() Delivery {
	d := Delivery{Stream: e.Stream, ID: e.ID}
	for name, value := range e.Fields {
		d.Fields = append(d.Fields, Field{Name: name, Value: []byte(value)})
	}
	return d
}

// fixture reads one file of testdata, an object a line.
func fixture[T any](t testing.TB, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var all []T
	for line := range bytes.Lines(text) {
		var one T
		require.NoError(t, json.Unmarshal(line, &one))
		all = append(all, one)
	}
	require.NotEmpty(t, all)
	return all
}
