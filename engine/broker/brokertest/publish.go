package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

var publishTests = []test{
	{"publish/what is published is read in its order", broker.ConsumerGroups, publishedInOrder},
	{"publish/fields keep their order, repeats and bytes", broker.ConsumerGroups, fieldsAsTheyWere},
	{"publish/the caller may use its bytes again", broker.ConsumerGroups, bytesAreCopied},
	{"publish/an entry without fields is refused", 0, noFieldsRefused},
}

func publishedInOrder(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 20)

	got := s.read(t, 100)
	require.Equal(t, ids, idsOf(got))
	for i, d := range got {
		require.Equal(t, f.stream, d.Stream)
		require.Zero(t, d.Attempts, "a first delivery was never called")
		require.False(t, d.Gone())
		text, ok := d.Data()
		require.True(t, ok)
		require.Equal(t, string(rune('0'+i%10)), string(text))
	}
}

func fieldsAsTheyWere(t *testing.T, f *fixture) {
	fields := []message.Field{
		{Name: "z", Value: []byte("last letter first")},
		{Name: "bytes", Value: []byte{0x00, 0xff, 0xfe, '\r', '\n', 0x80}},
		{Name: "empty", Value: []byte{}},
		{Name: "z", Value: []byte("again")},
		{Name: "a name with ünicode", Value: []byte("ü")},
		data(`{"price": 42.0}`),
	}
	s := f.join(t, "g", "c")
	f.publishFields(t, fields...)

	got := s.read(t, 1)
	require.Len(t, got, 1)
	require.Equal(t, textsOf(fields), textsOf(got[0].Fields))
	require.Equal(t, textsOf(fields), textsOf(s.pending(t)[0].Fields), "listing what is pending gives the same")
}

// textsOf makes no difference between an empty value and none.
func textsOf(fields []message.Field) [][2]string {
	var texts [][2]string
	for _, f := range fields {
		texts = append(texts, [2]string{f.Name, string(f.Value)})
	}
	return texts
}

func bytesAreCopied(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	field := data("before")
	f.publishFields(t, field)
	copy(field.Value, "AFTER!")

	text, _ := s.read(t, 1)[0].Data()
	require.Equal(t, "before", string(text))
}

func noFieldsRefused(t *testing.T, f *fixture) {
	_, err := f.Publish(t.Context(), f.stream)
	require.Error(t, err)
	if f.Capabilities().Has(broker.ConsumerGroups) {
		s := f.joinAs(t, consumergroup.Member{Stream: f.stream, Group: "g", Consumer: "c"})
		require.Empty(t, s.read(t, 1))
	}
}
