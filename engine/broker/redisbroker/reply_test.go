package redisbroker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/testserver"
)

// wire writes a reply in the protocol: a string, an integer, nil or a list.
func wire(value any) string {
	switch v := value.(type) {
	case nil:
		return "*-1\r\n"
	case int:
		return fmt.Sprintf(":%d\r\n", v)
	case string:
		return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
	case []any:
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(v))
		for _, part := range v {
			b.WriteString(wire(part))
		}
		return b.String()
	}
	panic("no such part of a reply")
}

type list = []any

func TestAReadReplyBecomesDeliveries(t *testing.T) {
	t.Parallel()
	reply := wire(list{list{"s", list{
		list{"1-1", list{"data", "{}", "", "\r\n$3\r\n"}},
		list{"1-2", nil},
		list{"1-3", list{}},
		list{"2-1", list{"data", "", "data", "again", "x", "y"}},
	}}})
	got, err := parseRead("s", []byte(reply))
	require.NoError(t, err)
	require.Equal(t, []message.Delivery{
		{Stream: "s", ID: "1-1", Fields: []message.Field{{Name: "data", Value: []byte("{}")}, {Value: []byte("\r\n$3\r\n")}}},
		{Stream: "s", ID: "1-2"},
		{Stream: "s", ID: "1-3"},
		{Stream: "s", ID: "2-1", Fields: []message.Field{
			{Name: "data", Value: []byte{}}, {Name: "data", Value: []byte("again")}, {Name: "x", Value: []byte("y")},
		}},
	}, got)
	require.True(t, got[1].Gone())
	require.True(t, got[2].Gone())
}

func TestAppendingToAValueLeavesItsNeighboursAlone(t *testing.T) {
	t.Parallel()
	got, err := parseRead("s", []byte(wire(list{list{"s", list{
		list{"1-1", list{"data", "one"}}, list{"1-2", list{"data", "two"}},
	}}})))
	require.NoError(t, err)
	_ = append(got[0].Fields[0].Value, "overwritten"...)
	_ = append(got[0].Fields, message.Field{Name: "overwritten"})
	require.Equal(t, []message.Field{{Name: "data", Value: []byte("two")}}, got[1].Fields)
}

func TestAReplyWithoutEntriesGivesNone(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"*-1\r\n", "*0\r\n", wire(list{list{"s", list{}}})} {
		got, err := parseRead("s", []byte(reply))
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

func TestAnErrorReplyIsTheServersError(t *testing.T) {
	t.Parallel()
	_, err := parseRead("s", []byte("-NOGROUP No such key\r\n"))
	require.True(t, hasCode(err, "NOGROUP"))
	require.EqualError(t, err, "NOGROUP No such key")
}

func TestABrokenReplyIsAnErrorThatQuotesNothing(t *testing.T) {
	t.Parallel()
	whole := wire(list{list{"s", list{list{"1-1", list{"data", "secret"}}}}})
	for cut := range len(whole) {
		_, err := parseRead("s", []byte(whole[:cut]))
		require.ErrorContains(t, err, "cannot read the server's reply", "%q", whole[:cut])
		require.NotContains(t, err.Error(), "secret")
	}
	for _, reply := range []string{
		"+OK\r\n", ":1\r\n", "$-1\r\n", "*x\r\n", "*1\r\n*1\r\n", "*1\r\n*2\r\n$-1\r\n",
		wire(list{list{"s", list{list{"1-1", list{"odd"}}}}}),
		wire(list{list{"s", list{list{"1-1"}}}}),
		fmt.Sprintf("*1\r\n*2\r\n$1\r\ns\r\n*%d\r\n", math.MaxInt64),
		fmt.Sprintf("*1\r\n*2\r\n$%d\r\ns\r\n", math.MaxInt64),
		fmt.Sprintf("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$1\r\ns\r\n*%d\r\n", int64(math.MaxInt64-1)),
	} {
		_, err := parseRead("s", []byte(reply))
		require.ErrorContains(t, err, "cannot read the server's reply", "%q", reply)
	}
}

func TestPendingEntriesComeWithTheirAttempts(t *testing.T) {
	t.Parallel()
	got, err := parsePending("s", []byte(wire(list{
		list{"1-1", "c", 12, 3}, list{"1-2", "c", 0, 0}, list{"1-3", "c", 0, math.MaxInt64},
	})))
	require.NoError(t, err)
	require.Equal(t, []message.Delivery{
		{Stream: "s", ID: "1-1", Attempts: 2},
		{Stream: "s", ID: "1-2"},
		{Stream: "s", ID: "1-3", Attempts: math.MaxInt},
	}, got)
}

func TestAParsedReplyIsWrittenAsItWas(t *testing.T) {
	t.Parallel()
	got, err := appendReply(nil, list{list{"s", list{list{"1-1", list{"data", "{}", "", "\r\n"}}, list{"1-2", nil}}}, int64(-7)})
	require.NoError(t, err)
	require.Equal(t, wire(list{list{"s", list{list{"1-1", list{"data", "{}", "", "\r\n"}}, list{"1-2", nil}}}, -7}), string(got))
	_, err = appendReply(nil, list{1.5})
	require.ErrorContains(t, err, "float64")
}

func FuzzReplies(f *testing.F) {
	f.Add(wire(list{list{"s", list{list{"1-1", list{"data", "{}", "raw", "\x00"}}, list{"1-2", nil}}}}))
	f.Add(wire(list{list{"1-1", "c", 3, 2}}))
	f.Add(wire(list{list{"1-1", list{"data", "{}"}}}))
	f.Add("*-1\r\n")
	f.Add("-NOGROUP No such key\r\n")
	f.Add("*1\r\n*2\r\n$1\r\ns\r\n*9223372036854775807\r\n")
	f.Fuzz(func(t *testing.T, reply string) {
		for _, parse := range []func(string, []byte) ([]message.Delivery, error){parseRead, parseRange, parsePending} {
			got, err := parse("s", []byte(reply))
			size := 0
			for _, d := range got {
				size += len(d.ID)
				for _, field := range d.Fields {
					size += len(field.Name) + len(field.Value)
				}
			}
			require.LessOrEqual(t, size, len(reply), "nothing is made up")
			require.False(t, err != nil && len(got) > 0)
		}
	})
}

func BenchmarkParseRead(b *testing.B) {
	entries := make(list, 100)
	for i := range entries {
		entries[i] = list{fmt.Sprintf("1700000000000-%d", i), list{"data", strings.Repeat("x", 600)}}
	}
	reply := []byte(wire(list{list{"s", entries}}))
	b.SetBytes(int64(len(reply)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRead("s", reply); err != nil {
			b.Fatal(err)
		}
	}
}

func TestOfARangeTheIDsCanBeKeptAlone(t *testing.T) {
	t.Parallel()
	client := testserver.Redis(t).Client(t)
	key := t.Name()
	for i := range 3 {
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{
			Stream: key, ID: fmt.Sprintf("%d-18446744073709551615", i+1), Values: []any{"data", strings.Repeat("x", 100_000), "n", i},
		}).Err())
	}
	c := newIDsCommand(t.Context(), "XRANGE", key, "-", "+")
	require.NoError(t, client.Process(t.Context(), c))
	buf, err := reply(t.Context(), client, c)
	require.NoError(t, err)
	require.Less(t, len(buf), 1000)
	entries, err := parseRange(key, buf)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, "3-18446744073709551615", entries[2].ID)
	require.Equal(t, "n", entries[2].Fields[1].Name)
	require.Equal(t, "2", string(entries[2].Fields[1].Value))
	require.Empty(t, entries[2].Fields[0].Value)
}
