package deadletter

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
)

type entry struct {
	Stream string
	ID     string
	Fields map[string]string
}

type odd struct {
	Case       string
	Source     entry
	DeadLetter *entry `json:"dead_letter"`
}

func oddEntries(t *testing.T) []odd {
	t.Helper()
	text, err := os.ReadFile("testdata/dlq-entries.jsonl")
	require.NoError(t, err)
	var all []odd
	for line := range bytes.Lines(text) {
		var one odd
		require.NoError(t, json.Unmarshal(line, &one))
		all = append(all, one)
	}
	require.Len(t, all, 47)
	return all
}

func (e entry) delivery() message.Delivery {
	d := message.Delivery{Stream: e.Stream, ID: e.ID}
	for name, value := range e.Fields {
		d.Fields = append(d.Fields, message.Field{Name: name, Value: []byte(value)})
	}
	return d
}

func delivery(fields ...string) message.Delivery {
	d := message.Delivery{Stream: "s", ID: "1-0"}
	for i := 0; i < len(fields); i += 2 {
		d.Fields = append(d.Fields, message.Field{Name: fields[i], Value: []byte(fields[i+1])})
	}
	return d
}

var failedAt = time.Date(2026, 3, 2, 10, 30, 0, 125_000_000, time.FixedZone("", 3600))

func TestDeadLettersReadLikeThoseOfTheOriginal(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, c := range oddEntries(t) {
		if c.DeadLetter == nil {
			continue
		}
		compared++
		require.Equal(t, c.DeadLetter.Stream, QueueOf(c.Source.Stream))
		theirs := object(t, c.DeadLetter.Fields["data"])
		md := theirs[key].(map[string]any)
		entry := Compose(c.Source.delivery(), Metadata{
			ConsumerGroup: md["consumer_group"].(string),
			Consumer:      md["consumer"].(string), // random at each start
			FailedAt:      failedAt,
			RetryCount:    int(md["retry_count"].(float64)),
			FailureReason: "ValueError: no",
		})
		ours := object(t, string(entry.Data))
		// Python writes the message's own time there, or null, and for
		// broker subscribers the time of the failure.
		md["failed_at"] = "2026-03-02T09:30:00.125000+00:00"
		// Python writes no reason.
		md["failure_reason"] = "ValueError: no"
		if entry.Raw != nil {
			require.Contains(t, ours, rawKey, "Python keeps nothing of it")
			delete(ours, rawKey)
		}
		require.Equal(t, theirs, ours, c.Case)
	}
	require.Equal(t, 23, compared)
}

func TestNothingOfAnEntryIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range oddEntries(t) {
		entry := Compose(c.Source.delivery(), Metadata{})
		require.Equal(t, c.Source.ID, entry.ID)
		data, present := c.Source.Fields["data"]
		switch c.Case {
		case "no field data", "a second field beside data":
			var fields map[string]string
			require.NoError(t, json.Unmarshal(entry.Raw, &fields))
			require.Equal(t, c.Source.Fields, fields, c.Case)
			if !present {
				require.JSONEq(t, string(entry.Raw), part(t, entry.Data, rawKey))
			}
		case "not JSON", "JSON cut off", "JSON array", "JSON null":
			require.Equal(t, data, string(entry.Raw), c.Case)
			require.Equal(t, data, object(t, string(entry.Data))[rawKey], c.Case)
		default:
			require.True(t, present)
			require.Nil(t, entry.Raw, c.Case)
		}
		if entry.Raw == nil {
			inside := strings.TrimSuffix(data, "}")
			require.True(t, strings.HasPrefix(string(entry.Data), inside), "the text stays as it was: %s", entry.Data)
		}
	}
}

// part is the text of one member of an object.
func part(t *testing.T, text []byte, key string) string {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &members))
	return string(members[key])
}

// Protean's own `dlq replay` publishes the field data without _dlq_metadata, and
// deletes the dead letter.
func TestWhatProteanReplaysStillHasTheContent(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"cut`: `"{\"cut"`, `[1]`: `"[1]"`, "": `""`, "\xff\x00": `{"base64":"/wA="}`,
		`{"data": {"n": NaN}}`: `"{\"data\": {\"n\": NaN}}"`, // which Python writes
	} {
		first := Compose(delivery("data", raw), Metadata{})
		require.Equal(t, raw, string(first.Raw))
		var replayed map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(first.Data, &replayed))
		delete(replayed, key)
		text, err := json.Marshal(replayed)
		require.NoError(t, err)

		_, err = message.Decode(text)
		require.Error(t, err, "no handler gets it")
		again := Compose(delivery("data", string(text)), Metadata{})
		require.Equal(t, want, part(t, again.Data, rawKey))
	}
}

func TestMetadataIsSplicedBeforeTheLastBrace(t *testing.T) {
	t.Parallel()
	md := Metadata{
		OriginalStream: "s", OriginalID: "1-0", ConsumerGroup: "g", Consumer: "c",
		FailedAt: failedAt, RetryCount: 3, FailureReason: "a < b",
	}
	const spliced = `"_dlq_metadata": {"original_stream":"s","original_id":"1-0","consumer_group":"g","consumer":"c",` +
		`"failed_at":"2026-03-02T09:30:00.125000+00:00","retry_count":3,"failure_reason":"a < b"}}`
	for text, want := range map[string]string{
		`{}`:                                "{" + spliced,
		" { \n} \r\n":                       " {" + spliced,
		`{"a": 42.0, "b": {}}`:              `{"a": 42.0, "b": {}, ` + spliced,
		"{\"a\": \"}{\"\t}\n":               `{"a": "}{", ` + spliced,
		`{"_dlq_metadata": {"consumer":1}}`: `{"_dlq_metadata": {"consumer":1}, ` + spliced,
	} {
		require.Equal(t, want, string(Splice([]byte(text), md)))
	}
}

func TestUnknownTimeAndReasonAreNotMadeUp(t *testing.T) {
	t.Parallel()
	require.Equal(t, `{"_dlq_metadata": {"original_stream":"","original_id":"","consumer_group":"","consumer":"","failed_at":null,"retry_count":0}}`,
		string(Splice([]byte("{}"), Metadata{})))
}

func TestAMessageDeadLetteredTwiceTellsOfTheLastTime(t *testing.T) {
	t.Parallel()
	const text = `{"data": {"amount": 42.0}, "metadata": {"headers": {"id": "i"}}}`
	twice := Splice(Splice([]byte(text), Metadata{RetryCount: 1}), Metadata{RetryCount: 2})
	require.InDelta(t, 2, object(t, string(twice))[key].(map[string]any)["retry_count"], 0)

	want, err := message.Decode([]byte(text))
	require.NoError(t, err)
	got, err := message.Decode(twice)
	require.NoError(t, err)
	require.Equal(t, want, got, "our own reader sees the message as it was")
}

func TestBytesThatAreNotTextAreKept(t *testing.T) {
	t.Parallel()
	entry := Compose(delivery("data", "{\"a\": \"\xff\"}"), Metadata{})
	require.Equal(t, "{\"a\": \"\xff\"}", string(entry.Raw))

	entry = Compose(delivery("a", "\xff\x00", "b\xfe", "é <", "a", "2"), Metadata{})
	require.Equal(t, `{"a": {"base64":"/wA="}, "base64:Yv4=": "é <", "a": "2"}`, string(entry.Raw))
	require.True(t, json.Valid(entry.Raw))

	entry = Compose(delivery("data", "[1]", "more", "x"), Metadata{})
	require.Equal(t, `{"data": "[1]", "more": "x"}`, string(entry.Raw))
}

func TestDeadLettersNameTheirOrigin(t *testing.T) {
	t.Parallel()
	md := object(t, string(Compose(delivery("data", "{}"), Metadata{}).Data))[key].(map[string]any)
	require.Equal(t, "s", md["original_stream"])
	require.Equal(t, "1-0", md["original_id"])
	md = object(t, string(Compose(delivery("data", "{}"), Metadata{OriginalStream: "o", OriginalID: "2-0"}).Data))[key].(map[string]any)
	require.Equal(t, "o", md["original_stream"])
	require.Equal(t, "2-0", md["original_id"])
}

func TestLongReasonsAreCutAtACharacter(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("x", maxReason), cut(strings.Repeat("x", maxReason)))
	for _, reason := range []string{strings.Repeat("é", 600), "x" + strings.Repeat("é", 600), strings.Repeat("😀\xff", 999)} {
		short := cut(reason)
		require.LessOrEqual(t, len(short), maxReason)
		require.Greater(t, len(short), maxReason-8)
		require.True(t, utf8.ValidString(short))
		require.True(t, strings.HasSuffix(short, "…"))
	}
}

func FuzzCompose(f *testing.F) {
	f.Add([]byte(`{"a": 1}`), "oops")
	f.Add([]byte(" {\n} "), "\xff")
	f.Add([]byte(`[{"a": "}"}]`), "")
	f.Fuzz(func(t *testing.T, data []byte, reason string) {
		entry := Compose(delivery("data", string(data)), Metadata{FailureReason: reason, RetryCount: 7})
		var after map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(entry.Data, &after))
		require.True(t, utf8.Valid(entry.Data))
		var md wireMetadata
		require.NoError(t, json.Unmarshal(after[key], &md))
		require.Equal(t, wireMetadata{OriginalStream: "s", OriginalID: "1-0", RetryCount: 7, FailureReason: cut(reason)}, md)
		if entry.Raw != nil {
			require.Equal(t, string(data), string(entry.Raw))
			return
		}
		var before map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &before))
		delete(before, key)
		delete(after, key)
		require.Equal(t, before, after)
	})
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	return o
}
