package message

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func delivery(fields ...string) Delivery {
	d := Delivery{Stream: "payments", ID: "1700000000123-4", Attempts: 2}
	for i := 0; i < len(fields); i += 2 {
		d.Fields = append(d.Fields, Field{Name: fields[i], Value: []byte(fields[i+1])})
	}
	return d
}

var entryMillis = time.UnixMilli(1700000000123).UTC()

// madeUp is the correlation id of what has none.
const madeUp = "97909033f4c39317f78f40029fa8a436"

func TestAMadeUpCorrelationIDIsThatOfTheEntry(t *testing.T) {
	t.Parallel()
	of := func(change func(*Delivery)) string {
		d := delivery("data", "{}")
		change(&d)
		e, err := FromObject(d)
		require.NoError(t, err)
		return e.Metadata.Domain.CorrelationID
	}
	require.Equal(t, madeUp, of(func(d *Delivery) { d.Attempts++ }), "at every attempt")
	require.NotEqual(t, madeUp, of(func(d *Delivery) { d.ID = "1700000000123-5" }))
	require.NotEqual(t, madeUp, of(func(d *Delivery) { d.Stream = "other" }))
	require.Regexp(t, "^[0-9a-f]{32}$", madeUp, "as Protean writes one")

	e, err := FromFields(delivery("correlation_id", "c-7"))
	require.NoError(t, err)
	require.Equal(t, "c-7", e.Metadata.Domain.CorrelationID)
	e, err = FromFields(delivery("correlation_id", " "))
	require.NoError(t, err)
	require.Equal(t, madeUp, e.Metadata.Domain.CorrelationID)
}

func TestMessageKnowsWhereItWasReadAndHowOftenItWasTried(t *testing.T) {
	t.Parallel()
	want := Source{Stream: "payments", ID: "1700000000123-4", Attempt: 3}
	for name, read := range map[string]func(Delivery) (Envelope, error){
		"envelope": FromDelivery, "object": FromObject, "fields": FromFields,
	} {
		e, err := read(delivery("data", whole))
		require.NoError(t, err, name)
		require.Equal(t, want, e.Source, name)
	}
}

func TestPayloadOfAnyKindBecomesAMessage(t *testing.T) {
	t.Parallel()
	e, err := FromObject(delivery("data", `{"payment_id": "p", "amount": 12.50}`))
	require.NoError(t, err)
	require.Equal(t, json.RawMessage(`{"payment_id": "p", "amount": 12.50}`), e.Data)
	require.Equal(t, Metadata{
		Headers: Headers{ID: "1700000000123-4", Stream: "payments", Time: entryMillis},
		Domain:  Domain{Kind: KindBroker, Version: 1, Asynchronous: true, CorrelationID: madeUp},
	}, e.Metadata)
}

func TestOfAFieldThatOccursTwiceTheLastCounts(t *testing.T) {
	t.Parallel()
	e, err := FromObject(delivery("data", `{"a": 1}`, "data", `{"a": 2}`, "more", "x"))
	require.NoError(t, err)
	require.Equal(t, `{"a": 2}`, string(e.Data))
}

func TestPayloadMaySayWhoItIs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]struct {
		id, correlation string
		time            time.Time
	}{
		`{"metadata": {"headers": {"id": "m-1", "time": "2026-03-02T10:30:00Z"}, "domain": {"correlation_id": "c1"}, "correlation_id": "c2"}, "correlation_id": "c3"}`: {"m-1", "c1", at},
		`{"metadata": {"headers": {"id": " ", "time": "soon"}, "domain": {"correlation_id": "\t"}, "correlation_id": "c2"}, "correlation_id": "c3"}`:                   {"1700000000123-4", "c2", entryMillis},
		`{"correlation_id": "c3", "metadata": {"headers": {"id": 7, "time": 1772447400}, "domain": null, "correlation_id": {"x": 1}}}`:                                 {"1700000000123-4", "c3", at},
		`{"metadata": [1], "correlation_id": 7}`:                                                {"1700000000123-4", madeUp, entryMillis},
		`{"metadata": {"headers": {"id": "old"}}, "metadata": {"headers": {"id": "\u006eew"}}}`: {"new", madeUp, entryMillis},
		`{"metadata": {"headers": {"id": "a"}, "headers": []}}`:                                 {"1700000000123-4", madeUp, entryMillis},
	} {
		e, err := FromObject(delivery("data", text))
		require.NoError(t, err, text)
		require.Equal(t, want.id, e.Metadata.Headers.ID, text)
		require.Equal(t, want.correlation, e.Metadata.Domain.CorrelationID, text)
		require.Equal(t, want.time, e.Metadata.Headers.Time, text)
	}
}

func TestPayloadThatIsNoObjectIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`this is not JSON`:  `message: not JSON: unexpected 't' at offset 0`,
		`[1, 2]`:            `message: must be an object, is an array`,
		`{"a": 1} {}`:       `message: not JSON: unexpected '{' at offset 9`,
		"{\"a\": \"\xff\"}": `message: not UTF-8: byte 0xff at offset 7`,
	} {
		_, err := FromObject(delivery("data", text))
		require.EqualError(t, err, want)
	}
}

func TestEntryWithoutDataSaysWhatItHas(t *testing.T) {
	t.Parallel()
	for _, read := range []func(Delivery) (Envelope, error){FromDelivery, FromObject} {
		_, err := read(delivery("a", "1", "b\xff", "2", "c", "3", "d", "4", "e", "5", "f", "6"))
		require.EqualError(t, err, `no field "data" in the entry, only "a", "b\xff", "c", "d", "e", …; format = "fields" takes entries of any shape`)
		_, err = read(delivery())
		require.EqualError(t, err, `entry 1700000000123-4 has no fields`)
	}
}

func TestFieldsBecomeAnObjectOfStrings(t *testing.T) {
	t.Parallel()
	e, err := FromFields(delivery("b", "1", "a", "old", "", "empty name", "a", "é\"\x00", "c", ""))
	require.NoError(t, err)
	require.Equal(t, `{"b": "1", "": "empty name", "a": "\u00e9\"\u0000", "c": ""}`, string(e.Data))
	require.Equal(t, Metadata{
		Headers: Headers{ID: "1700000000123-4", Stream: "payments", Time: entryMillis},
		Domain:  Domain{Kind: KindBroker, Version: 1, Asynchronous: true, CorrelationID: madeUp},
	}, e.Metadata)
}

func TestFieldsThatAreNotTextAreRefused(t *testing.T) {
	t.Parallel()
	_, err := FromFields(delivery("a", "\xff"))
	require.EqualError(t, err, `field "a" is not UTF-8`)
	_, err = FromFields(delivery("\xff", "a"))
	require.EqualError(t, err, `field "\xff" is not UTF-8`)
	_, err = FromFields(delivery())
	require.EqualError(t, err, `entry 1700000000123-4 has no fields`)
}

func TestEntryIDOfAnotherShapeHasNoTime(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "x-1", "-1", "9223372036854775807-0", "99999999999999999999-0"} {
		require.True(t, entryTime(id).IsZero(), id)
	}
}

func FuzzFromObject(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"metadata": {"headers": {"id": 7, "time": 1772447400}, "domain": {"correlation_id": "c"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := FromObject(delivery("data", string(text)))
		if err != nil {
			return
		}
		require.True(t, json.Valid(text))
		require.NotEmpty(t, e.Metadata.Headers.ID)
		headers := members(members(members(text)["metadata"])["headers"])
		if id := asText(headers["id"]); len(id) > 0 && id[0] > ' ' {
			require.Equal(t, id, e.Metadata.Headers.ID)
		}
	})
}
