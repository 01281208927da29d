package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

func TestALoggedMessageIsOneLineOfJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := order()
	m.Data = json.RawMessage("{\n  \"total\": 42.0,\n  \"note\": \"\\u00e9 <b>\"\n}")
	require.NoError(t, NewLog(NewLines(&out), shop, nil).Handle(t.Context(), m))
	require.Equal(t, `{"specversion":"1.0","id":"shop::order-o1-0.1","source":"urn:protean:golden_shop",`+
		`"type":"Shop.OrderPlaced.v1","subject":"o1","time":"2026-03-02T10:30:00.125Z",`+
		`"datacontenttype":"application/json","proteankind":"EVENT",`+
		`"proteanchecksum":"4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc",`+
		`"proteancorrelationid":"corr","proteancausationid":"cause","sequence":"0.1","proteansequencetype":"DotNotation",`+
		`"proteanstream":"shop::order","proteanentry":"1700000000000-3",`+
		`"traceparent":"00-3b8a43066bea786df9bc8d42c7ffedb0-391354031d98a357-01",`+
		`"data":{"total":42.0,"note":"\u00e9 <b>"}}`+"\n", out.String())
}

func TestADeliveryHasTheNumberOfItsOwnership(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := order()
	m.Source.Fence = 7
	m.Metadata.Extensions = json.RawMessage(`{"proteanfence": "9"}`)
	require.NoError(t, NewLog(NewLines(&out), shop, nil).Handle(t.Context(), m))
	require.Contains(t, out.String(), `"proteanentry":"1700000000000-3","proteanfence":"7",`)
	require.NotContains(t, out.String(), `"9"`, "an enricher cannot say it")
}

func TestALoggedMessageHasItsEnrichersExtensionsInTheirTypes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := order()
	m.Metadata.Extensions = json.RawMessage(`{"tenant": "a & <b>", "n": 7, "big": 5000000000, "ratio": 0.5, "live": true, "gone": null, "deep": [1]}`)
	var left []LeftOut
	require.NoError(t, NewLog(NewLines(&out), shop, func(e LeftOut) { left = append(left, e) }).Handle(t.Context(), m))
	require.Contains(t, out.String(), `"tenant":"a & <b>","n":7,"big":"5000000000","ratio":"0.5","live":true,"data":`)
	require.NotContains(t, out.String(), "gone")
	require.Equal(t, []LeftOut{{"deep", ReasonNested}}, left)
	require.True(t, json.Valid(out.Bytes()))
}

func TestALogTakesIDsThatNoHeaderCould(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := NewLog(NewLines(&out), shop, nil)
	m := order()
	m.Metadata.Headers.ID = "a\nb"
	require.NoError(t, l.Handle(t.Context(), m))
	require.Contains(t, out.String(), `"id":"a\nb"`)
	m.Metadata.Headers.ID = "a\xed\xa0\x80" // as JSON it would be the id of others too
	err := l.Handle(t.Context(), m)
	require.Equal(t, handler.Rejected, outcome(err))
	require.True(t, handler.IsUncalled(err))
}

func TestLinesOfConcurrentMessagesDoNotMix(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := NewLog(NewLines(&out), shop, nil)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { _ = l.Handle(t.Context(), order()) })
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 50)
	for _, line := range lines {
		require.True(t, json.Valid([]byte(line)))
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestALogThatCannotBeWrittenHoldsTheSubscriptionUp(t *testing.T) {
	t.Parallel()
	err := NewLog(NewLines(broken{}), shop, nil).Handle(t.Context(), order())
	require.Equal(t, handler.Down, outcome(err))
	require.ErrorContains(t, err, "no space left on device")
}

func TestAMessageThatIsNotJSONIsRejectedByTheLog(t *testing.T) {
	t.Parallel()
	m := order()
	m.Data = json.RawMessage(`{`)
	require.Equal(t, handler.Rejected, outcome(NewLog(NewLines(broken{}), shop, nil).Handle(t.Context(), m)))
}

// pipe is a pipe that nothing reads at first: a write waits for each of its answers.
type pipe struct {
	answers chan int // how many bytes of a write are taken; the rest is an error
	mu      sync.Mutex
	text    bytes.Buffer
}

func (p *pipe) Write(text []byte) (int, error) {
	taken, open := <-p.answers
	p.mu.Lock()
	defer p.mu.Unlock()
	if !open || taken >= len(text) {
		return p.text.Write(text)
	}
	p.text.Write(text[:taken])
	return taken, errors.New("no space left on device")
}

func TestALogThatHangsHoldsUpNoCallerBeyondItsContext(t *testing.T) {
	t.Parallel()
	p := &pipe{answers: make(chan int)}
	lines := NewLines(p)
	one, other := NewLog(lines, shop, nil), NewLog(lines, shop, nil)
	for _, l := range []*Log{one, other, one} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err := l.Handle(ctx, order())
		cancel()
		require.Equal(t, handler.Down, outcome(err))
		require.True(t, handler.IsUnreachable(err))
		require.ErrorContains(t, err, "it took no line in time")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, one.Handle(ctx, order()), context.Canceled, "a stop costs the message nothing")

	close(p.answers)
	require.NoError(t, other.Handle(t.Context(), order()))
	written := strings.Split(strings.TrimSuffix(p.text.String(), "\n"), "\n")
	require.Len(t, written, 2, "the line that hung, and the last")
	for _, line := range written {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestNoLineFollowsAPartOfAnother(t *testing.T) {
	t.Parallel()
	p := &pipe{answers: make(chan int, 10)}
	l := NewLog(NewLines(p), shop, nil)
	for _, taken := range []int{0, 10, 3, 0} {
		p.answers <- taken
		require.Equal(t, handler.Down, outcome(l.Handle(t.Context(), order())))
	}
	close(p.answers)
	require.NoError(t, l.Handle(t.Context(), order()))
	written := strings.Split(strings.TrimSuffix(p.text.String(), "\n"), "\n")
	require.Len(t, written, 2, "what was begun, and the last")
	for _, line := range written {
		require.True(t, json.Valid([]byte(line)), line)
	}
}
