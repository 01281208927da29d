package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestChecksumsOfTheOriginal(t *testing.T) {
	t.Parallel()
	type payload struct{ Data, Checksum string }
	payloads := fixture[payload](t, "checksums.jsonl")
	require.Len(t, payloads, 156)
	for _, p := range payloads {
		sum, err := Checksum([]byte(p.Data))
		require.NoError(t, err)
		require.Equal(t, p.Checksum, sum, p.Data)
	}
}

func TestChecksumVectors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"amount":42.0,"note":"\u00e9 \u20ac","order_id":"3f1c9a1e-0c1f-4b0e-9f0a-8f8f2f0a7b11","placed_at":"2026-03-02T10:30:00+00:00"}`:     "4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc",
		`{"amount":42.0,"order_id":"3f1c9a1e-0c1f-4b0e-9f0a-8f8f2f0a7b11","placed_at":"2026-03-02T10:30:00+00:00"}`:                            "314f6cb197117f58ca89ed45c5b562b193d53799e8833c3a633c07a1702a59c9",
		`{"a":1.0,"b":10.5,"c":1e+16,"d":1e-07,"e":"\u00e9\ud83d\ude00\u2028/<>&\u007f","f":null,"g":true,"h":[1,2.5],"i":123456789012345678}`: "884602d009f9be889ebe71132bdbad5d82bed32f0f45a3993555d6566f8430d3",
	} {
		sum, err := Checksum([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, sum)
	}
}

// Each right side is what Python 3.11 writes for
// json.dumps(json.loads(left), sort_keys=True, separators=(",", ":")).
func TestCanonicalTextIsPythons(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`42`: `42`, `42.0`: `42.0`, `-0`: `0`, `-0.0`: `-0.0`, `0.0`: `0.0`, `1E5`: `100000.0`, `1e16`: `1e+16`,
		`9999999999999998.0`: `9999999999999998.0`, `1e15`: `1000000000000000.0`, `123456789012345680.0`: `1.2345678901234568e+17`,
		`0.0001`: `0.0001`, `0.00001`: `1e-05`, `0.00010`: `0.0001`, `1.10`: `1.1`, `100.00`: `100.0`, `0.1e1`: `1.0`, `5e-324`: `5e-324`,
		`1e400`: `Infinity`, `-1e400`: `-Infinity`, `1e-400`: `0.0`, `-1e-400`: `-0.0`, `12.340000000000001`: `12.340000000000002`,
		`123456789012345678901234567890`: `123456789012345678901234567890`, `0.30000000000000004`: `0.30000000000000004`,
		`179769313486231570000.25`: `1.7976931348623157e+20`, `12345678901234.5`: `12345678901234.5`, `-7.25`: `-7.25`,
		`"\/\u0041\u0008\u000c\u000a\u000d\u0009\u0022\u005c\u001F"`: `"/A\b\f\n\r\t\"\\\u001f"`,
		"\"\u007f é €\"":                          `"\u007f \u00e9 \u20ac"`,
		`"😀"`:                                     `"\ud83d\ude00"`,
		`"\uD83D\uDE00 \uD800 \uDC00"`:            `"\ud83d\ude00 \ud800 \udc00"`,
		` [ true , false , null , [ ] , { } ] `:   `[true,false,null,[],{}]`,
		`{"b":1,"a":2}`:                           `{"a":2,"b":1}`,
		`{"b":{"z":1,"y":[{"d":1,"c":2}]},"a":2}`: `{"a":2,"b":{"y":[{"c":2,"d":1}],"z":1}}`,
		`{"a":1,"b":2,"a":3}`:                     `{"a":3,"b":2}`,
		`{"a":1,"\u0061":3}`:                      `{"a":3}`,
		`{"é":1,"z":2,"\u00e8":3}`:                `{"z":2,"\u00e8":3,"\u00e9":1}`,
		// By code point a lone surrogate and U+FFFF come before U+1F600, by
		// UTF-16 unit after it or not.
		`{"😀":1,"\uffff":2,"\ud800":3,"\ud7ff":4,"":5,"\ud83d\ude01":6}`: `{"":5,"\ud7ff":4,"\ud800":3,"\uffff":2,"\ud83d\ude00":1,"\ud83d\ude01":6}`,
	} {
		require.NoError(t, withCanonical([]byte(text), func(canonical []byte) {
			require.Equal(t, want, string(canonical), text)
		}))
	}
}

func TestChangedPayloadIsFoundOut(t *testing.T) {
	t.Parallel()
	e, err := New(KindEvent, Headers{ID: "i"}, json.RawMessage(`{"amount": 42.0}`))
	require.NoError(t, err)
	require.NoError(t, e.Verify())
	e.Data = json.RawMessage(`{ "amount" : 42.00 }`)
	require.NoError(t, e.Verify(), "the same value")
	e.Data = json.RawMessage(`{"amount": 42}`)
	require.ErrorIs(t, e.Verify(), ErrChecksum)
	e.Metadata.Integrity.Checksum = ""
	require.NoError(t, e.Verify(), "nothing to verify")
}

func TestChecksumOfWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `{`, `{"a"}`, `{"a":1}}`, `[1 2]`, `nul`, `"`, `{"b":1,"a":`, `{"\:`, `{"a\u00:1}`} {
		_, err := Checksum([]byte(text))
		var typed *DecodeError
		require.ErrorAs(t, err, &typed, text)
	}
}

func TestVerifyingReusesItsMemory(t *testing.T) {
	e, err := Decode([]byte(fixture[entry](t, "redis-events.jsonl")[0].Fields[DataField]))
	require.NoError(t, err)
	// It is 0 but for the race detector, which makes pools forget.
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { _ = e.Verify() }), 2.0)
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":1.50,"a":[-0,-0.0,1e16,0.00001,1E400],"a":"\ud83d\ude00é\u007f"}`,
		`{"😀":1,"\uffff":2,"\ud800":{"z":1,"y":2,"z":3}}`,
		`{"amount": 42.0, "note": "\u00e9 \u20ac"}`, `12345678901234567890`, `0.1`, `100.25`, `1.0e5`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := withCanonical(text, func(canonical []byte) {
			require.Equal(t, referenceCanonical(text), string(canonical))
		})
		if err == nil || !json.Valid(text) || !utf8.Valid(text) {
			return
		}
		require.ErrorContains(t, err, "nested deeper")
	})
}

// referenceCanonical is the algorithm spelled out over a parsed tree.
func referenceCanonical(text []byte) string {
	text = bytes.TrimSpace(text)
	var b strings.Builder
	switch text[0] {
	case '{':
		decoder := json.NewDecoder(bytes.NewReader(text))
		values := referenceMembers(decoder, text)
		keys := make([]string, 0, len(values))
		for key := range values {
			keys = append(keys, key)
		}
		sort.Slice(keys, func(i, j int) bool { return lessRunes([]rune(keys[i]), []rune(keys[j])) })
		for i, key := range keys {
			fmt.Fprintf(&b, "%s%s:%s", map[bool]string{true: "", false: ","}[i == 0], pythonString([]rune(key)), values[key])
		}
		return "{" + b.String() + "}"
	case '[':
		var values []json.RawMessage
		_ = json.Unmarshal(text, &values)
		for i, value := range values {
			b.WriteString(map[bool]string{true: "", false: ","}[i == 0] + referenceCanonical(value))
		}
		return "[" + b.String() + "]"
	case '"':
		return pythonString(runesOf(text))
	case 't', 'f', 'n':
		return string(text)
	}
	return pythonNumber(string(text))
}

// referenceMembers keeps lone surrogates in keys apart by moving them into a
// private plane that no valid text reaches.
func referenceMembers(decoder *json.Decoder, text []byte) map[string]string {
	values := map[string]string{}
	_, _ = decoder.Token()
	for decoder.More() {
		before := decoder.InputOffset()
		_, _ = decoder.Token()
		key := text[before:decoder.InputOffset()]
		key = key[bytes.IndexByte(key, '"'):]
		var value json.RawMessage
		_ = decoder.Decode(&value)
		values[string(hide(runesOf(key)))] = referenceCanonical(value)
	}
	return values
}

// runesOf are a quoted text's code points, lone surrogates included.
func runesOf(quoted []byte) []rune {
	var units []uint16
	inside := quoted[1 : len(quoted)-1]
	for i := 0; i < len(inside); {
		if inside[i] == '\\' && inside[i+1] == 'u' {
			unit, _ := strconv.ParseUint(string(inside[i+2:i+6]), 16, 16)
			units = append(units, uint16(unit))
			i += 6
			continue
		}
		if inside[i] == '\\' {
			var one string
			_ = json.Unmarshal([]byte(`"`+string(inside[i:i+2])+`"`), &one)
			units = append(units, uint16(one[0]))
			i += 2
			continue
		}
		r, size := utf8.DecodeRune(inside[i:])
		units = utf16.AppendRune(units, r)
		i += size
	}
	var runes []rune
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if i+1 < len(units) {
			if pair := utf16.DecodeRune(r, rune(units[i+1])); pair != utf8.RuneError {
				r = pair
				i++
			}
		}
		runes = append(runes, r)
	}
	return runes
}

// A Go string has no room for lone surrogates: they hide at the end of the last
// plane, which fuzzing may reach but hardly will.
const hidden = 0x10f800 - 0xd800

func hide(runes []rune) []rune {
	for i, r := range runes {
		if utf16.IsSurrogate(r) {
			runes[i] = r + hidden
		}
	}
	return runes
}

func shown(r rune) rune {
	if utf16.IsSurrogate(r - hidden) {
		return r - hidden
	}
	return r
}

func lessRunes(a, b []rune) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return shown(a[i]) < shown(b[i])
		}
	}
	return len(a) < len(b)
}

func pythonString(runes []rune) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var b strings.Builder
	for _, r := range runes {
		r = shown(r)
		switch high, low := utf16.EncodeRune(r); {
		case short[r] != "":
			b.WriteString(short[r])
		case ' ' <= r && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return `"` + b.String() + `"`
}

func pythonNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		n, _ := new(big.Int).SetString(text, 10)
		return n.String()
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(scientific, "e")
	if e, _ := strconv.Atoi(exponent); e < -4 || e >= 16 {
		return mantissa + "e" + exponent
	}
	fixed := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(fixed, ".") {
		fixed += ".0"
	}
	return fixed
}
