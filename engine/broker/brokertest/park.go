package brokertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
)

var parkTests = []test{
	{"park/writes the letter and ends the entry", broker.ConsumerGroups | broker.DeadLetters, parkMoves},
	{"park/keeps what could not be decoded in a field of its own", broker.ConsumerGroups | broker.DeadLetters, parkRaw},
	{"park/the groups of a stream share its queue", broker.ConsumerGroups | broker.DeadLetters, parkShared},
}

func parkMoves(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.Empty(t, s.park(t,
		deadletter.Entry{ID: ids[0], Data: []byte(`{"price": 42.0}`)},
		deadletter.Entry{ID: ids[2], Data: []byte(`{"name": "ü"}`)}))

	letters := f.letters(t)
	require.Len(t, letters, 2)
	require.Equal(t, [][2]string{{"data", `{"price": 42.0}`}}, textsOf(letters[0].Fields), "the text as it was, and nothing else")
	require.Equal(t, [][2]string{{"data", `{"name": "ü"}`}}, textsOf(letters[1].Fields))
	require.Equal(t, ids[1:2], idsOf(s.pending(t)))
	require.Empty(t, s.read(t, 3))
	require.Empty(t, s.park(t), "nothing to do is nothing done")
}

func parkRaw(t *testing.T, f *fixture) {
	raw := []byte{'{', 0xff, 0x00, '\n'}
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.Empty(t, s.park(t, deadletter.Entry{ID: ids[0], Data: []byte("{}"), Raw: raw}))

	letters := f.letters(t)
	require.Len(t, letters, 1)
	require.Equal(t, [][2]string{{"data", "{}"}, {"raw", string(raw)}}, textsOf(letters[0].Fields))
}

func parkShared(t *testing.T, f *fixture) {
	one, two := f.join(t, "one", "c"), f.join(t, "two", "c")
	ids := f.publish(t, 1)
	one.read(t, 1)
	two.read(t, 1)
	require.Empty(t, one.park(t, lettersFor(ids...)...))
	require.Equal(t, ids, idsOf(two.pending(t)), "another group's dead letter ends nothing here")
	require.Empty(t, two.park(t, lettersFor(ids...)...))
	require.Len(t, f.letters(t), 2)
}
