package message

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrderingKeyIsReadFromThePayload(t *testing.T) {
	t.Parallel()
	const text = `{"a": {"key": "inner"}, "key": "first", "n": 42.0, "t": true, "z": null, "o": {}, "l": [], "k\u0065y": "\u00e9x", "": "e"}`
	for name, want := range map[string]string{"key": "éx", "n": "42.0", "t": "true", "": "e"} {
		got, ok := FieldText([]byte(text), name)
		require.True(t, ok, name)
		require.Equal(t, want, got)
	}
	for _, name := range []string{"z", "o", "l", "absent", "inner"} {
		_, ok := FieldText([]byte(text), name)
		require.False(t, ok, name)
	}
	for _, text := range []string{``, `[1]`, `"key"`, `{"key": "a"`, `{"key": tru}`, `{"key": "a"} {}`} {
		_, ok := FieldText([]byte(text), "key")
		require.False(t, ok, text)
	}
}

func FuzzFieldText(f *testing.F) {
	f.Add([]byte(`{"key": "a\u0062"}`))
	f.Add([]byte(`{"key": [], "key": -1.5e3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := FieldText(text, "key")
		if !ok {
			return
		}
		require.True(t, json.Valid(text))
		value := members(text)["key"]
		if value[0] == '"' {
			require.Equal(t, asText(value), got)
		} else {
			require.Equal(t, string(value), got)
		}
	})
}
