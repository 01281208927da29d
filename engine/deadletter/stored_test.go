package deadletter

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
)

// stored is the dead letter of d as a queue holds it.
func stored(d message.Delivery, md Metadata) Stored {
	entry := Compose(d, md)
	fields := []message.Field{{Name: message.DataField, Value: entry.Data}}
	if entry.Raw != nil {
		fields = append(fields, message.Field{Name: rawField, Value: entry.Raw})
	}
	return Read(d.Stream, message.Delivery{Stream: d.Stream, ID: "1795359022008-0", Fields: fields})
}

func TestADeadLetterGivesTheOriginalBackByteForByte(t *testing.T) {
	t.Parallel()
	all := []message.Delivery{
		delivery("data", `{}`+"\n"), delivery("data", `{"a": 42.0, "b": {"_dlq_metadata": 1}}`), delivery("data", ` {"é": "}"}`),
		delivery("data", "{\"a\": \"\xff\"}"), delivery("data", "[1]"), delivery("data", ""), delivery("data", "null"),
		delivery("a", "\xff\x00", "b\xfe", "é <", "a", "2"), delivery("data", "{}", "more", "x"), delivery("base64:eA==", "x"), delivery("data", `{"base64": "eA=="}`),
	}
	for _, c := range oddEntries(t) {
		all = append(all, c.Source.delivery())
	}
	for _, d := range all {
		fields, err := stored(d, Metadata{Reason: Exhausted}).Original()
		if data, _ := d.Data(); len(d.Fields) == 1 && strings.TrimSpace(string(data)) == "{}" {
			require.EqualError(t, err, "the original's content was not kept", "Python writes the same of what it cannot read")
			continue
		}
		require.NoError(t, err, "%q", d.Fields)
		want := d.Fields
		if data, _ := d.Data(); len(want) == 1 && isObject(data) { // blanks around an object are not kept
			require.JSONEq(t, string(data), string(fields[0].Value))
			require.True(t, strings.HasPrefix(string(data), strings.TrimSuffix(string(fields[0].Value), "}")))
			continue
		}
		require.Equal(t, want, fields)
	}
}

func TestADeadLetterOfPythonGivesTheOriginalBack(t *testing.T) {
	t.Parallel()
	for _, c := range oddEntries(t) {
		if c.DeadLetter == nil {
			continue
		}
		s := Read(c.Source.Stream, c.DeadLetter.delivery())
		require.Equal(t, c.Source.ID, s.Metadata.OriginalID)
		require.Equal(t, Unknown, s.Metadata.Reason)
		require.Equal(t, c.DeadLetter.ID[:13], message.EntryID{Milliseconds: uint64(s.At().UnixMilli())}.String()[:13], "not the time of the message")
		fields, err := s.Original()
		if err != nil {
			require.EqualError(t, err, "the original's content was not kept")
			continue
		}
		require.JSONEq(t, c.Source.Fields["data"], string(fields[0].Value), c.Case)
	}
}

func TestADeadLetterTellsWhatAndWhy(t *testing.T) {
	t.Parallel()
	d := delivery("data", `{"data": {}, "metadata": {"headers": {"id": "shop-1", "type": "Shop.A"}}}`)
	s := stored(d, Metadata{ConsumerGroup: "g", Consumer: "c", FailedAt: failedAt, RetryCount: 3, Reason: Rejected, FailureReason: "no"})
	require.Equal(t, "shop-1", s.MessageID)
	require.Equal(t, "Shop.A", s.Type)
	require.Equal(t, Rejected, s.Metadata.Reason)
	require.Equal(t, 3, s.Metadata.RetryCount)
	require.Equal(t, "no", s.Metadata.FailureReason)
	require.WithinDuration(t, failedAt, s.At(), 0)
	require.Equal(t, "1-0", s.Metadata.OriginalID)

	// What is none is listed all the same.
	for _, text := range []string{"", "[", "{}", `{"_dlq_metadata": 1}`, `{"_dlq_metadata": {"retry_count": null, "reason": "new"}}`, `{"metadata": 5, "_dlq_metadata": {"reason": "poison"}}`} {
		s := Read("s", message.Delivery{ID: "1795359022008-0", Fields: []message.Field{{Name: "data", Value: []byte(text)}}})
		want := Unknown
		if strings.Contains(text, "poison") {
			want = Poison
		}
		require.Equal(t, want, s.Metadata.Reason, text)
		require.Equal(t, time.UnixMilli(1795359022008), s.At())
	}
}

func TestAFilterTakesWhatFitsAllOfIt(t *testing.T) {
	t.Parallel()
	d := delivery("data", `{"data": {}, "metadata": {"headers": {"id": "shop-1", "type": "Shop.A"}}}`)
	s := stored(d, Metadata{ConsumerGroup: "shop.Mailer", FailedAt: failedAt, Reason: Rejected, FailureReason: "Card DECLINED"})
	for _, fits := range []Filter{
		{},
		{Handler: "Mailer"},
		{Handler: "shop.Mailer"},
		{Handler: "X", Groups: []string{"shop.Mailer"}},
		{Reason: Rejected},
		{Type: "Shop.A"},
		{Error: "declined"},
		{Before: failedAt.Add(1)},
		{Since: failedAt},
		{IDs: []string{"x", "shop-1"}},
		{IDs: []string{"1-0"}},
		{IDs: []string{s.ID}},
		{Handler: "Mailer", Reason: Rejected, Type: "Shop.A", Error: "card", Before: failedAt.Add(1), Since: failedAt, IDs: []string{"1-0"}},
	} {
		require.True(t, fits.Takes(s), fits)
	}
	for _, not := range []Filter{
		{Handler: "ailer"},
		{Handler: "shop"},
		{Handler: "X", Groups: []string{"Mailer"}},
		{Reason: Exhausted},
		{Type: "Shop"},
		{Error: "stolen"},
		{Before: failedAt},
		{Since: failedAt.Add(1)},
		{IDs: []string{"shop"}},
		{IDs: []string{}},
		{Handler: "Mailer", Reason: Exhausted},
	} {
		require.False(t, not.Takes(s), not)
	}
	require.Equal(t, "all", Filter{}.String())
	require.Equal(t, "handler=Mailer reason=rejected type=Shop.A error=card before=2026-03-02T09:30:00Z since=2026-03-02T09:30:00Z ids=a,b",
		Filter{Handler: "Mailer", Reason: Rejected, Type: "Shop.A", Error: "card", Before: failedAt, Since: failedAt, IDs: []string{"a", "b"}}.String())
}
