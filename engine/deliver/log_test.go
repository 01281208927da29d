package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
)

func TestALoggedMessageIsOneLineOfJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := order()
	m.Data = json.RawMessage("{\n  \"total\": 42.0,\n  \"note\": \"\\u00e9 <b>\"\n}")
	require.NoError(t, NewLog(&out, shop, nil).Handle(t.Context(), m))
	require.Equal(t, `{"specversion":"1.0","id":"shop::order-o1-0.1","source":"urn:protean:golden_shop",`+
		`"type":"Shop.OrderPlaced.v1","subject":"o1","time":"2026-03-02T10:30:00.125Z",`+
		`"datacontenttype":"application/json","proteankind":"EVENT",`+
		`"proteanchecksum":"4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc",`+
		`"proteancorrelationid":"corr","proteancausationid":"cause","sequence":"0.1","proteansequencetype":"DotNotation",`+
		`"proteanstream":"shop::order","proteanentry":"1700000000000-3",`+
		`"traceparent":"00-3b8a43066bea786df9bc8d42c7ffedb0-391354031d98a357-01",`+
		`"data":{"total":42.0,"note":"\u00e9 <b>"}}`+"\n", out.String())
}

func TestALoggedMessageHasItsEnrichersExtensionsInTheirTypes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := order()
	m.Metadata.Extensions = json.RawMessage(`{"tenant": "a & <b>", "n": 7, "big": 5000000000, "ratio": 0.5, "live": true, "gone": null, "deep": [1]}`)
	var left []LeftOut
	require.NoError(t, NewLog(&out, shop, func(e LeftOut) { left = append(left, e) }).Handle(t.Context(), m))
	require.Contains(t, out.String(), `"tenant":"a & <b>","n":7,"big":"5000000000","ratio":"0.5","live":true,"data":`)
	require.NotContains(t, out.String(), "gone")
	require.Equal(t, []LeftOut{{"deep", ReasonNested}}, left)
	require.True(t, json.Valid(out.Bytes()))
}

func TestALogTakesIDsThatNoHeaderCould(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := NewLog(&out, shop, nil)
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
	l := NewLog(&out, shop, nil)
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
	err := NewLog(broken{}, shop, nil).Handle(t.Context(), order())
	require.Equal(t, handler.Down, outcome(err))
	require.ErrorContains(t, err, "no space left on device")
}

func TestAMessageThatIsNotJSONIsRejectedByTheLog(t *testing.T) {
	t.Parallel()
	m := order()
	m.Data = json.RawMessage(`{`)
	require.Equal(t, handler.Rejected, outcome(NewLog(broken{}, shop, nil).Handle(t.Context(), m)))
}
