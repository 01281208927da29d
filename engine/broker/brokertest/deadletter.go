package brokertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
)

var deadLetterTests = []test{
	{"dead letter/is written and ends the entry", broker.ConsumerGroups | broker.DeadLetters, deadLetterMoves},
	{"dead letter/keeps what could not be decoded in a field of its own", broker.ConsumerGroups | broker.DeadLetters, deadLetterRaw},
	{"dead letter/the groups of a stream share its queue", broker.ConsumerGroups | broker.DeadLetters, deadLetterShared},
	{"dead letter/one that was written without an answer is not written again", broker.ConsumerGroups | broker.DeadLetters, deadLetterTriedAndWritten},
	{"dead letter/one that was not written is, though its consumer was deleted", broker.ConsumerGroups | broker.DeadLetters, byHand(deadLetterTriedAndDropped)},
	{"dead letter/one that may be written is lost where another has its entry", broker.ConsumerGroups | broker.DeadLetters, byHand(deadLetterTriedAndTaken)},
}

func deadLetterMoves(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 3)
	s.read(t, 3)
	require.Empty(t, s.deadLetter(t,
		deadletter.Entry{ID: ids[0], Data: []byte(`{"price": 42.0}`)},
		deadletter.Entry{ID: ids[2], Data: []byte(`{"name": "ü"}`)}))

	deadLetters := f.deadLetters(t)
	require.Len(t, deadLetters, 2)
	require.Equal(t, [][2]string{{"data", `{"price": 42.0}`}}, textsOf(deadLetters[0].Fields), "the text as it was, and nothing else")
	require.Equal(t, [][2]string{{"data", `{"name": "ü"}`}}, textsOf(deadLetters[1].Fields))
	require.Equal(t, ids[1:2], idsOf(s.pending(t)))
	require.Empty(t, s.read(t, 3))
	require.Empty(t, s.deadLetter(t), "nothing to do is nothing done")
}

func deadLetterRaw(t *testing.T, f *fixture) {
	raw := []byte{'{', 0xff, 0x00, '\n'}
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.Empty(t, s.deadLetter(t, deadletter.Entry{ID: ids[0], Data: []byte("{}"), Raw: raw}))

	deadLetters := f.deadLetters(t)
	require.Len(t, deadLetters, 1)
	require.Equal(t, [][2]string{{"data", "{}"}, {"raw", string(raw)}}, textsOf(deadLetters[0].Fields))
}

func deadLetterShared(t *testing.T, f *fixture) {
	one, two := f.join(t, "one", "c"), f.join(t, "two", "c")
	ids := f.publish(t, 1)
	one.read(t, 1)
	two.read(t, 1)
	require.Empty(t, one.deadLetter(t, deadLettersFor(ids...)...))
	require.Equal(t, ids, idsOf(two.pending(t)), "another group's dead letter ends nothing here")
	require.Empty(t, two.deadLetter(t, deadLettersFor(ids...)...))
	require.Len(t, f.deadLetters(t), 2)
}

func deadLetterTriedAndWritten(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 2)
	tried := time.Now()
	first := deadletter.Entry{ID: ids[0], Data: []byte(`{"n": 1}`)}
	require.Empty(t, s.deadLetter(t, first))
	first.TriedAt = tried
	second := deadletter.Entry{ID: ids[1], Data: []byte(`{"n": 2}`), TriedAt: tried}
	require.Empty(t, s.deadLetter(t, first, second), "the one is in the queue, the other is written")
	require.Len(t, f.deadLetters(t), 2)
	require.Empty(t, s.pending(t))
}

func deadLetterTriedAndDropped(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 2)
	s.read(t, 2)
	require.NoError(t, f.operator.DeleteConsumer(t.Context(), f.stream, "g", "c"))
	untried := deadletter.Entry{ID: ids[0], Data: []byte(`{"n": 1}`)}
	tried := deadletter.Entry{ID: ids[1], Data: []byte(`{"n": 2}`), Raw: []byte("raw"), TriedAt: time.Now()}
	require.Equal(t, ids[:1], s.deadLetter(t, untried, tried))
	deadLetters := f.deadLetters(t)
	require.Len(t, deadLetters, 1)
	require.Equal(t, [][2]string{{"data", `{"n": 2}`}, {"raw", "raw"}}, textsOf(deadLetters[0].Fields))
}

func deadLetterTriedAndTaken(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	ids := f.publish(t, 1)
	s.read(t, 1)
	require.NoError(t, f.operator.Claim(t.Context(), f.stream, "g", "other", ids[0], 1))
	require.Equal(t, ids, s.deadLetter(t, deadletter.Entry{ID: ids[0], Data: []byte("{}"), TriedAt: time.Now()}))
	require.Empty(t, f.deadLetters(t))
}
