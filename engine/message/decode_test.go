package message

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestEveryEventOfTheOriginalIsUnderstood(t *testing.T) {
	t.Parallel()
	events := fixture[entry](t, "redis-events.jsonl")
	require.Len(t, events, 156)
	for _, event := range events {
		text := []byte(event.Fields[DataField])
		e, err := Decode(text)
		require.NoError(t, err)
		require.NoError(t, e.Verify())
		want, err := referenceDecode(text)
		require.NoError(t, err)
		require.Equal(t, want, e)
		require.NotEmpty(t, e.Metadata.Integrity.Checksum)
	}
}

func TestExternalFormIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, event := range fixture[entry](t, "redis-external.jsonl") {
		e, err := Decode([]byte(event.Fields[DataField]))
		require.NoError(t, err)
		require.NoError(t, e.Verify())
		require.Empty(t, e.Metadata.Integrity.Checksum)
		require.True(t, e.Metadata.Domain.Asynchronous, "absent means true")
		require.Zero(t, e.Metadata.Domain.Priority)
		require.NotEmpty(t, e.Metadata.Headers.ID)
	}
}

// What becomes of the entries that somebody put into the streams by hand. Where
// Protean decides otherwise, python says what it does.
var oddEntries = map[string]struct {
	err    string // what ours says; empty: it is a message
	python string
}{
	"handler":                       {},
	"not JSON":                      {err: `message: not JSON: unexpected 't' at offset 0`},
	"JSON cut off":                  {err: `message: not JSON: it breaks off at offset 684`},
	"no field data":                 {err: `no field "data" in the entry, only "payload"; format = "fields" takes entries of any shape`},
	"a second field beside data":    {},
	"empty object":                  {err: `data: missing`},
	"JSON array":                    {err: `message: must be an object, is an array`, python: "stays pending for ever, without a dead letter"},
	"JSON null":                     {err: `message: must be an object, is null`, python: "stays pending for ever, without a dead letter"},
	"no key data":                   {err: `data: missing`},
	"data is null":                  {err: `data: must be an object, is null`},
	"no key metadata":               {err: `metadata: missing`},
	"metadata is null":              {err: `metadata: must be an object, is null`, python: "stays pending for ever, without a dead letter"},
	"no headers":                    {err: `metadata.headers: missing`, python: "stays pending for ever, without a dead letter"},
	"domain is null":                {python: "decodes it and fails when it builds the event: a dead letter"},
	"no envelope":                   {},
	"envelope is null":              {},
	"checksum is null":              {},
	"wrong checksum":                {err: `checksum mismatch: the payload hashes to 8a7f9010…, the envelope says 00000000…`},
	"changed payload":               {},
	"unknown key in metadata":       {python: "rejects unknown keys within metadata"},
	"unknown key in headers":        {python: "rejects unknown keys within headers"},
	"unknown key in domain":         {python: "rejects unknown keys within domain"},
	"unknown key at top level":      {},
	"key in extensions":             {},
	"traceparent is text":           {err: `metadata.headers.traceparent: must be an object, is a string`},
	"sequence_id is a number":       {err: `metadata.domain.sequence_id: must be a string or null, is a number`},
	"version is text":               {},
	"time is nonsense":              {err: `metadata.headers.time: "yesterday" is not a time`},
	"time ends with Z":              {},
	"time is null":                  {},
	"headers without deadline":      {},
	"unregistered type":             {python: "looks the type up while it decodes: a dead letter"},
	"unregistered version":          {python: "looks the type up while it decodes: a dead letter"},
	"type of another category":      {python: "looks the type up while it decodes: a dead letter"},
	"flat metadata of old releases": {},
}

func TestOddEntriesAreMessagesOrSaidWhyNot(t *testing.T) {
	t.Parallel()
	cases := fixture[odd](t, "dlq-entries.jsonl")
	require.Len(t, cases, 47)
	for _, c := range cases {
		want, known := oddEntries[c.Case]
		require.True(t, known, c.Case)
		read := FromDelivery
		if c.Source.Stream == "payments" { // of a broker subscriber
			read = FromObject
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			e, err := read(c.Source.delivery())
			if err == nil {
				err = e.Verify()
			}
			if want.err != "" {
				require.EqualError(t, err, want.err)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, want.python != "" || c.takenForEmpty(), c.differs(err),
				"a difference from Python must be named, and only that")
		})
	}
}

// odd is what became of an entry in Protean.
type odd struct {
	Case         string
	Source       entry
	DeadLetters  int  `json:"dead_letters"`
	StillPending bool `json:"still_pending"`
}

// differs reports whether Protean does not do with the entry what we do: handle
// it, or park it.
func (o odd) differs(err error) bool {
	if o.Case == "handler" { // these fail, if they do, in the handler
		return err != nil
	}
	handled := o.DeadLetters == 0 && !o.StillPending
	deadLettered := o.DeadLetters > 0
	return err == nil && !handled || err != nil && !deadLettered
}

// takenForEmpty: what a broker subscriber's entry cannot be read as, Protean
// hands to the subscriber as an empty object.
func (o odd) takenForEmpty() bool {
	return o.Source.Stream == "payments" && (o.Case == "not JSON" || o.Case == "no field data")
}

const whole = `{"data": {"a": 1}, "metadata": {"headers": {"id": "i"}, "domain": {}}}`

func TestWrongTypesAreNamedByTheirPath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                      `message: not JSON: it breaks off at offset 0`,
		`  `:                                    `message: not JSON: it breaks off at offset 2`,
		`7`:                                     `message: must be an object, is a number`,
		whole + `x`:                             `message: not JSON: unexpected 'x' at offset 70`,
		whole + "\x00":                          `message: not JSON: unexpected '\x00' at offset 70`,
		"\ufeff" + whole:                        `message: not JSON: unexpected '\ufeff' at offset 0`,
		`{"data": {"a": NaN}}`:                  `message: not JSON: unexpected 'N' at offset 15 (NaN and Infinity are not in JSON)`,
		`{"data": {"a": -Infinity}}`:            `message: not JSON: unexpected 'I' at offset 16 (NaN and Infinity are not in JSON)`,
		`{"data": {"a": 01}}`:                   `message: not JSON: unexpected '1' at offset 16`,
		`{"data": {"a": 1,}}`:                   `message: not JSON: unexpected '}' at offset 17`,
		"{\"data\": {\"a\": \"\xff\"}}":         `message: not UTF-8: byte 0xff at offset 16`,
		"{\"data\": {\"a\": \"\n\"}}":           `message: not JSON: unexpected '\n' at offset 16`,
		`{"data": {"a": "\x"}}`:                 `message: not JSON: unexpected 'x' at offset 17`,
		`{"data": {"a": "\u12g4"}}`:             `message: not JSON: unexpected 'g' at offset 20`,
		`{"data": [1]}`:                         `data: must be an object, is an array`,
		`{"data": {}, "metadata": "m"}`:         `metadata: must be an object, is a string`,
		meta(`"headers": null`):                 `metadata.headers: must be an object, is null`,
		meta(`"headers": []`):                   `metadata.headers: must be an object, is an array`,
		meta(`"headers": {"id": 7}`):            `metadata.headers.id: must be a string or null, is a number`,
		meta(`"headers": {"time": true}`):       `metadata.headers.time: must be a time, is a boolean`,
		meta(`"headers": {"time": 1e300}`):      `metadata.headers.time: "1e300" is not a time`,
		meta(`"headers": {"deadline": "soon"}`): `metadata.headers.deadline: "soon" is not a time`,
		meta(`"headers": {"traceparent": {"trace_id": 1}}`):                        `metadata.headers.traceparent.trace_id: must be a string, is a number`,
		meta(`"headers": {"traceparent": {"sampled": 1}}`):                         `metadata.headers.traceparent.sampled: must be true or false, is a number`,
		meta(`"headers": {}, "envelope": 1`):                                       `metadata.envelope: must be an object, is a number`,
		meta(`"headers": {}, "envelope": {"specversion": null}`):                   `metadata.envelope.specversion: must be a string, is null`,
		meta(`"headers": {}, "domain": ""`):                                        `metadata.domain: must be an object, is a string`,
		meta(`"headers": {}, "domain": {"version": "x1"}`):                         `metadata.domain.version: "x1" is not a version`,
		meta(`"headers": {}, "domain": {"version": null}`):                         `metadata.domain.version: must be a whole number, is null`,
		meta(`"headers": {}, "domain": {"priority": 1.5}`):                         `metadata.domain.priority: "1.5" is not a whole number of 64 bits`,
		meta(`"headers": {}, "domain": {"expected_version": 9223372036854775808}`): `metadata.domain.expected_version: "9223372036854775808" is not a whole number of 64 bits`,
		meta(`"headers": {}, "domain": {"asynchronous": null}`):                    `metadata.domain.asynchronous: must be true or false, is null`,
		meta(`"headers": {}, "event_store": {"position": "1"}`):                    `metadata.event_store.position: must be a whole number, is a string`,
		meta(`"headers": {}, "extensions": null`):                                  `metadata.extensions: must be an object, is null`,
		meta(`"fqn": "x", "timestamp": "never"`):                                   `metadata.timestamp: "never" is not a time`,
		meta(`"headers": {"id": t}`):                                               `message: not JSON: unexpected 't' at offset 44`,
	} {
		_, err := Decode([]byte(text))
		require.EqualError(t, err, want, text)
		var typed *DecodeError
		require.ErrorAs(t, err, &typed)
	}
}

// meta is a message with the given inside of its metadata.
func meta(inside string) string { return `{"data": {}, "metadata": {` + inside + `}}` }

func TestErrorsQuoteOnlyTheBeginningOfAValue(t *testing.T) {
	t.Parallel()
	_, err := Decode([]byte(meta(`"headers": {"time": "` + strings.Repeat("secret", 100) + `"}`)))
	require.EqualError(t, err, `metadata.headers.time: "secretsecretsecretsecretsecretse"… is not a time`)
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(levels int) []byte {
		return []byte(`{"metadata": {"headers": {}}, "data": {"a": ` +
			strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}}`)
	}
	_, err := Decode(nested(maxDepth - 2))
	require.NoError(t, err)
	_, err = Decode(nested(maxDepth - 1))
	require.EqualError(t, err, "message: nested deeper than 1000 levels")
	_, err = Decode([]byte(strings.Repeat(`[`, 1<<20)))
	require.EqualError(t, err, "message: nested deeper than 1000 levels")
}

func TestOfAKeyThatOccursTwiceTheLastCounts(t *testing.T) {
	t.Parallel()
	e, err := Decode([]byte(`{"metadata": {"headers": {"id": "old", "type": "T"}, "domain": {"fqn": "x"}}, "data": {"a": 1},
		"data": {"b": 2}, "metadata": {"headers": {"id": "older", "id": "new"}, "headers": {"id": "newest"}}}`))
	require.NoError(t, err)
	require.Equal(t, Envelope{
		Data:     []byte(`{"b": 2}`),
		Metadata: Metadata{Headers: Headers{ID: "newest"}},
	}, e)
}

func TestEscapedKeysAndTextsAreRead(t *testing.T) {
	t.Parallel()
	e, err := Decode([]byte(`{"d\u0061ta": {}, "metadata": {"he\u0061ders":
		{"\u0069d": "\u00e9\ud83d\ude00\ud800\"\\\/\b\f\n\r\t", "type": "é"}}}`))
	require.NoError(t, err)
	require.Equal(t, "é😀\xed\xa0\x80\"\\/\b\f\n\r\t", e.Metadata.Headers.ID)
	require.Equal(t, "é", e.Metadata.Headers.Type)
}

func TestIDsThatDifferInALoneSurrogateStayDifferent(t *testing.T) {
	t.Parallel()
	id := func(text string) string {
		e, err := Decode([]byte(`{"data": {}, "metadata": {"headers": {"id": "` + text + `"}}}`))
		require.NoError(t, err)
		return e.Metadata.Headers.ID
	}
	require.NotEqual(t, id(`o\ud800`), id(`o\ud801`))
	require.NotEqual(t, id(`o\ud800`), id(`o\ufffd`))
	require.False(t, utf8.ValidString(id(`o\ud800`)), "who must have UTF-8 can tell")
	require.Equal(t, "o😀", id(`o\ud83d\ude00`))
}

func TestFlatMetadataOfEarlyReleases(t *testing.T) {
	t.Parallel()
	e, err := Decode([]byte(`{"metadata": {"fqn": "shop.Placed", "kind": "EVENT", "id": "o-1-0.1",
		"timestamp": "2026-03-02T10:30:00+00:00", "type": "Shop.Placed.v2", "stream": "o-1", "version": "v2",
		"sequence_id": "0.1", "asynchronous": false, "origin_stream": null, "payload_hash": 17}, "data": {}}`))
	require.NoError(t, err)
	require.Equal(t, Metadata{
		Headers: Headers{ID: "o-1-0.1", Time: time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC), Type: "Shop.Placed.v2", Stream: "o-1"},
		Domain:  Domain{FQN: "shop.Placed", Kind: "EVENT", Version: 2, SequenceID: "0.1"},
	}, e.Metadata)
	require.NoError(t, e.Verify())
}

func TestHeadersAtTheTopLevelAreTheLastResort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"id": "loose", "data": {}, "metadata": {"domain": {}}}`:                                     "loose",
		`{"data": {}, "metadata": {}, "headers": {"id": "whole"}, "id": "loose"}`:                     "whole",
		`{"id": "loose", "data": {}, "metadata": {"headers": {"id": "inner"}}, "headers": {"id": 7}}`: "inner",
	} {
		e, err := Decode([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, e.Metadata.Headers.ID)
	}
	_, err := Decode([]byte(`{"data": {}, "metadata": {}, "headers": {"id": 7}}`))
	require.EqualError(t, err, "headers.id: must be a string or null, is a number")
}

func TestPayloadCannotGrowIntoTheTextBehindIt(t *testing.T) {
	t.Parallel()
	text := []byte(whole)
	e, err := Decode(text)
	require.NoError(t, err)
	_ = append(e.Data, "overwritten"...)
	require.Equal(t, whole, string(text))
}

func TestDecodingCostsThreeAllocationsAtMost(t *testing.T) {
	text := []byte(fixture[entry](t, "redis-events.jsonl")[0].Fields[DataField])
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = Decode(text) }), 3.0)
}
