package deliver

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// received is a request as an application got it.
type received struct {
	http.Header
	Host, Method, Body string
}

// application answers 204 and keeps what it got.
func application(t *testing.T) (*httptest.Server, <-chan received) {
	t.Helper()
	got := make(chan received, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- received{r.Header, r.Host, r.Method, string(body)}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	return srv, got
}

// to returns an HTTP for a target, closed with the test.
func to(t *testing.T, target string, change ...func(*HTTPConfig)) *HTTP {
	t.Helper()
	c := HTTPConfig{URL: target, Source: shop}
	for _, f := range change {
		f(&c)
	}
	h, err := NewHTTP(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func withHeaders(h map[string]string) func(*HTTPConfig) {
	return func(c *HTTPConfig) { c.Headers = func() (map[string]string, error) { return h, nil } }
}

func outcome(err error) handler.Outcome {
	v, _ := handler.OutcomeOf(err)
	return v
}

func TestApplicationGetsACloudEventInBinaryMode(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	require.NoError(t, to(t, srv.URL+"/events").Handle(t.Context(), order()))

	r := <-got
	require.Equal(t, http.MethodPost, r.Method)
	require.Equal(t, `{"total": 42.0, "note": "\u00e9 <b>"}`, r.Body)
	for name, want := range map[string]string{
		"Content-Type":            "application/json",
		"Ce-Specversion":          "1.0",
		"Ce-Id":                   "shop::order-o1-0.1",
		"Ce-Source":               "urn:protean:golden_shop",
		"Ce-Type":                 "Shop.OrderPlaced.v1",
		"Ce-Subject":              "o1",
		"Ce-Time":                 "2026-03-02T10:30:00.125Z",
		"Ce-Proteankind":          "EVENT",
		"Ce-Proteanchecksum":      "4f335799045c5b0a002a7c0a4b56f6b3bd95117088bce877fb8f9b20a2575efc",
		"Ce-Proteancorrelationid": "corr",
		"Ce-Proteancausationid":   "cause",
		"Ce-Sequence":             "0.1",
		"Ce-Proteansequencetype":  "DotNotation",
		"Ce-Proteanstream":        "shop::order",
		"Ce-Proteanentry":         "1700000000000-3",
		"Ce-Traceparent":          "00-3b8a43066bea786df9bc8d42c7ffedb0-391354031d98a357-01",
		"Traceparent":             "00-3b8a43066bea786df9bc8d42c7ffedb0-391354031d98a357-01",
	} {
		require.Equal(t, []string{want}, r.Values(name), name)
	}
	require.NotContains(t, r.Header, "Idempotency-Key")
}

func TestMessagesOfARealProteanArriveVerbatim(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	h := to(t, srv.URL)
	for typ, m := range fixtures(t) {
		require.NoError(t, h.Handle(t.Context(), m))
		r := <-got
		require.Equal(t, string(m.Data), r.Body, typ)
		require.Equal(t, subjects[typ], r.Get("Ce-Subject"), typ)
		require.Equal(t, m.Metadata.Domain.SequenceID, r.Get("Ce-Sequence"))

		read, err := binding.ToEvent(t.Context(), cloudevents.NewMessage(r.Header, io.NopCloser(strings.NewReader(r.Body))))
		require.NoError(t, err, "the SDK reads what we sent")
		require.NoError(t, read.Validate())
		require.True(t, m.Metadata.Headers.Time.Equal(read.Time()))
	}
}

// subjects are what Protean 0.18's to_cloudevent gives for the fixtures.
var subjects = map[string]string{
	"GoldenShop.Deposited.v1": "a1", "GoldenShop.OrderPlaced.v1": "traced-2", "GoldenShop.TextSampled.v1": "s36",
	"GoldenShop.NumberSampled.v1": "s10", "GoldenShop.PlaceOrder.v1": "sync-1",
}

func TestTheSubjectIsTheAggregatesIDAsProteanFindsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ category, stream, want string }{
		{"shop::order", "shop::order-o1", "o1"},
		{"shop::order", "shop::order-fact-o1", "o1"},
		{"shop::order", "shop::order:command-o1", "o1"},
		{"my-shop::order", "my-shop::order-o-1", "o-1"}, // a domain's name may hold a dash
		{"shop::order-fact", "shop::order-fact-o1", "o1"},
		{"", "shop::order-o-1", "o-1"},
		{"", "shop::order:command-o-1", "o-1"},
		{"", "shop::order-fact-o-1", "o-1"},
		{"shop::invoice", "shop::order-o1", "o1"}, // of another category: as without one
		{"shop::order", "shop::order", ""},
		{"shop::order", "shop::order-", ""},
		{"shop::order", "", ""},
	} {
		m := order()
		m.Metadata.Domain.StreamCategory, m.Metadata.Headers.Stream = c.category, c.stream
		require.Equal(t, c.want, subject(m), "%+v", c)
	}
	m := order()
	m.Metadata.Domain.Kind, m.Metadata.Headers.Stream = message.KindBroker, "my-payments"
	require.Empty(t, subject(m), "an entry of another system is of no aggregate")
}

func TestOnlyAValidTraceContextIsForwarded(t *testing.T) {
	t.Parallel()
	const id, parent = "3b8a43066bea786df9bc8d42c7ffedb0", "391354031d98a357"
	srv, got := application(t)
	h := to(t, srv.URL)
	for name, trace := range map[string]message.TraceParent{
		"garbage":        {TraceID: "garbage", ParentID: "x", Sampled: true},
		"no trace id":    {ParentID: parent},
		"no parent id":   {TraceID: id},
		"zero trace id":  {TraceID: strings.Repeat("0", 32), ParentID: parent},
		"zero parent id": {TraceID: id, ParentID: strings.Repeat("0", 16)},
		"upper case":     {TraceID: strings.ToUpper(id), ParentID: parent},
		"upper parent":   {TraceID: id, ParentID: "391354031D98A357"},
		"short":          {TraceID: id[:30], ParentID: parent},
		"long":           {TraceID: id + "00", ParentID: parent},
		"long parent":    {TraceID: id, ParentID: parent + "-01"},
		"not hex":        {TraceID: "g" + id[1:], ParentID: parent},
	} {
		m := order()
		m.Metadata.Headers.TraceParent = trace
		m.Metadata.Extensions = []byte(`{"tracestate": "vendor=1", "traceparent": "ff-` + id + `-` + parent + `-01"}`)
		require.NoError(t, h.Handle(t.Context(), m))
		r := <-got
		for _, absent := range []string{"Ce-Traceparent", "Traceparent", "Ce-Tracestate", "Tracestate"} {
			require.NotContains(t, r.Header, absent, name)
		}
	}
	m := order()
	m.Metadata.Extensions = []byte(`{"tracestate": "vendor=1"}`)
	require.NoError(t, h.Handle(t.Context(), m))
	r := <-got
	require.Equal(t, "vendor=1", r.Get("Tracestate"))
	require.Equal(t, "vendor=1", r.Get("Ce-Tracestate"))
}

func TestATraceStateThatIsNoneIsLeftOut(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	var left []LeftOut
	h := to(t, srv.URL, func(c *HTTPConfig) { c.LeftOut = func(e LeftOut) { left = append(left, e) } })
	member := strings.Repeat("v", 200)
	for _, state := range []string{
		"garbage,,=x", "a", "a=1,a=2", "A=1", "=1", "a=", "a=b=c", "a=\u00e9", " ", "a=1;b=2=3", "a=" + member + ",b=" + member + ",c=" + member,
		strings.TrimSuffix(strings.Repeat("a=1,", 33), ","),
	} {
		m := order()
		m.Metadata.Extensions, _ = json.Marshal(map[string]string{"tracestate": state})
		require.NoError(t, h.Handle(t.Context(), m))
		r := <-got
		require.NotContains(t, r.Header, "Tracestate", state)
		require.NotContains(t, r.Header, "Ce-Tracestate", state)
		require.Equal(t, []LeftOut{{"tracestate", ReasonText}}, left, state)
		left = nil
	}
	for _, state := range []string{"a=1", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "fw529a3039@dt=FfAAA,,b=x y", "1a=2"} {
		m := order()
		m.Metadata.Extensions, _ = json.Marshal(map[string]string{"tracestate": state})
		require.NoError(t, h.Handle(t.Context(), m))
		require.Empty(t, left, state)
		require.NotEmpty(t, (<-got).Get("Ce-Tracestate"), state)
	}
}

func TestAnExtensionWithALongNameIsLeftOut(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	var left []LeftOut
	h := to(t, srv.URL, func(c *HTTPConfig) { c.LeftOut = func(e LeftOut) { left = append(left, e) } })
	long, longest := strings.Repeat("x", 65), strings.Repeat("x", 64)
	m := order()
	m.Metadata.Extensions, _ = json.Marshal(map[string]string{long: "v", longest: "w"})
	require.NoError(t, h.Handle(t.Context(), m))
	r := <-got
	require.Empty(t, r.Get("Ce-"+long))
	require.Equal(t, "w", r.Get("Ce-"+longest))
	require.Equal(t, []LeftOut{{long, ReasonName}}, left)
}

func TestAnEnrichersExtensionsBecomeTheEvents(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	var left []LeftOut
	h := to(t, srv.URL, func(c *HTTPConfig) { c.LeftOut = func(e LeftOut) { left = append(left, e) } })
	m := order()
	m.Metadata.Extensions = []byte(`{
		"Tenant_ID": "acme", "tenantid": "other", "n": 7, "ratio": 0.50, "live": false, "note": "Zoë\t",
		"city": "Zürich", "id": "x", "ProteanKind": "FORGED", "sequence": 9, "data": "x", "_dropped_fields": ["a"], "none": null,
		"deep": {"a": 1}, "list": [1], "___": "hidden", "日本": "x"}`)
	require.NoError(t, h.Handle(t.Context(), m))
	r := <-got
	for name, want := range map[string]string{
		"Ce-Tenantid": "acme", "Ce-N": "7", "Ce-Ratio": "0.50", "Ce-Live": "false", "Ce-City": "Z%C3%BCrich",
		"Ce-Id": "shop::order-o1-0.1", "Ce-Proteankind": "EVENT", "Ce-Sequence": "0.1",
	} {
		require.Equal(t, []string{want}, r.Values(name), name)
	}
	for _, absent := range []string{"Ce-Deep", "Ce-List", "Ce-None", "Ce-Data", "Ce-Note", "Ce-Droppedfields"} {
		require.NotContains(t, r.Header, absent)
	}
	require.Equal(t, []LeftOut{
		{"tenantid", ReasonTaken},
		{"note", ReasonText},
		{"id", ReasonTaken},
		{"ProteanKind", ReasonTaken},
		{"sequence", ReasonTaken},
		{"data", ReasonTaken},
		{"deep", ReasonNested},
		{"list", ReasonNested},
		{"日本", ReasonName},
	}, left)
}

func TestAnExtensionThatCannotBeAHeaderIsLeftOutOfTheEvent(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	var left []LeftOut
	h := to(t, srv.URL, func(c *HTTPConfig) { c.LeftOut = func(e LeftOut) { left = append(left, e) } })
	m := order()
	m.Metadata.Domain.CorrelationID = "a\r\nX-Evil: 1"
	require.NoError(t, h.Handle(t.Context(), m))
	require.NotContains(t, (<-got).Header, "Ce-Proteancorrelationid")
	require.Equal(t, []LeftOut{{"proteancorrelationid", ReasonText}}, left)
}

func TestEventSourcedAggregatesCountInIntegers(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	require.NoError(t, to(t, srv.URL).Handle(t.Context(), fixtures(t)["GoldenShop.Deposited.v1"]))
	require.Equal(t, "Integer", (<-got).Get("Ce-Proteansequencetype"))
}

func TestCommandsOfOneAggregateHaveDifferentIDs(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	require.NoError(t, to(t, srv.URL).Handle(t.Context(), fixtures(t)["GoldenShop.PlaceOrder.v1"]))
	r := <-got
	require.Equal(t, "golden_shop::order:command/1795348458000-7", r.Get("Ce-Id"))
	require.Equal(t, "COMMAND", r.Get("Ce-Proteankind"))
	require.NotContains(t, r.Header, "Ce-Sequence")
}

func TestAnEntryWithoutMetadataIsAnEventOfItsStream(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	m := &message.Envelope{Data: []byte(`{"a":1}`), Source: message.Source{Stream: "iot", ID: "5-1"}}
	m.Metadata.Domain.Kind = message.KindBroker
	require.NoError(t, to(t, srv.URL).Handle(t.Context(), m))
	r := <-got
	require.Equal(t, "iot/5-1", r.Get("Ce-Id"))
	require.Equal(t, "iot", r.Get("Ce-Type"))
	for _, absent := range []string{"Ce-Subject", "Ce-Time", "Ce-Proteankind", "Ce-Traceparent", "Traceparent"} {
		require.NotContains(t, r.Header, absent)
	}
}

func TestAttributesBeyondPrintableASCIIArePercentEncoded(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	m := order()
	m.Metadata.Headers.Stream = `shop::order-Zoë "100%" 日本`
	require.NoError(t, to(t, srv.URL).Handle(t.Context(), m))
	require.Equal(t, "Zo%C3%AB%20%22100%25%22%20%E6%97%A5%E6%9C%AC", (<-got).Get("Ce-Subject"))
}

func TestWhatCannotBeAHeaderIsRejected(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	h := to(t, srv.URL)
	for name, bad := range map[string]string{
		"line break": "a\r\nX-Evil: 1", "NUL": "a\x00", "C1": "a\u0085", "not UTF-8": "a\xff", "lone surrogate": "a\xed\xa0\x80", "non-character": "a\uffff",
	} {
		m := order()
		m.Metadata.Headers.Stream = "shop::order-" + bad
		err := h.Handle(t.Context(), m)
		require.Equal(t, handler.Rejected, outcome(err), name)
		require.True(t, handler.IsUncalled(err), "the application was not called")
		require.ErrorContains(t, err, "ce-subject")
	}
	blank := order()
	blank.Metadata.Headers.Type = " "
	err := h.Handle(t.Context(), blank)
	require.Equal(t, handler.Rejected, outcome(err))
	require.ErrorContains(t, err, "type: MUST be a non-empty string")
	require.Empty(t, got, "nothing was sent")
}

func TestConfiguredHeadersAreReadForEveryRequest(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	token := "first"
	h := to(t, srv.URL, func(c *HTTPConfig) {
		c.Headers = func() (map[string]string, error) {
			return map[string]string{"authorization": "Bearer " + token, "Host": "orders.example", "User-Agent": "mine"}, nil
		}
	})
	require.NoError(t, h.Handle(t.Context(), order()))
	token = "second"
	require.NoError(t, h.Handle(t.Context(), order()))

	first, second := <-got, <-got
	require.Equal(t, "Bearer first", first.Get("Authorization"))
	require.Equal(t, "Bearer second", second.Get("Authorization"))
	require.Equal(t, "orders.example", second.Host)
	require.Equal(t, "mine", second.Get("User-Agent"))
}

func TestUserInfoBecomesBasicAuthenticationUnlessAHeaderIsConfigured(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	target := strings.Replace(srv.URL, "//", "//user:pass%20word@", 1)
	require.NoError(t, to(t, target).Handle(t.Context(), order()))
	require.Equal(t, "Basic dXNlcjpwYXNzIHdvcmQ=", (<-got).Get("Authorization"))
	require.NoError(t, to(t, target, withHeaders(map[string]string{"authorization": "Bearer t"})).Handle(t.Context(), order()))
	require.Equal(t, []string{"Bearer t"}, (<-got).Values("Authorization"))
}

func TestAConfiguredIdempotencyKeyIsNoLeaveToRepeat(t *testing.T) {
	t.Parallel()
	app := resetting(t, 1)
	h := to(t, app.url, withHeaders(map[string]string{"Idempotency-Key": "k", "X-Idempotency-Key": "k"}))
	require.NoError(t, h.Handle(t.Context(), order()))
	require.Equal(t, handler.Cut, outcome(h.Handle(t.Context(), order())))
	require.EqualValues(t, 2, app.requests.Load())
	require.Equal(t, "k", app.last.Load().Header.Get("Idempotency-Key"))
}

func TestHeadersThatCannotBeSetHoldTheSubscriptionUp(t *testing.T) {
	t.Parallel()
	srv, got := application(t)
	for name, c := range map[string]struct {
		change func(*HTTPConfig)
		want   string
	}{
		"unreadable": {func(c *HTTPConfig) {
			c.Headers = func() (map[string]string, error) { return nil, errors.New("no such file") }
		}, "no such file"},
		"line break":  {withHeaders(map[string]string{"X-Key": "s3cret-value\n"}), `"X-Key" holds control characters`},
		"not a name":  {withHeaders(map[string]string{"X Key": "v"}), `"X Key" is not a header's name`},
		"the event's": {withHeaders(map[string]string{"ce-id": "v"}), `"ce-id" belongs to the event`},
		"a trace":     {withHeaders(map[string]string{"traceparent": "x"}), `"traceparent" belongs to the event`},
		"its vendors": {withHeaders(map[string]string{"TraceState": "a=1"}), `"TraceState" belongs to the event`},
		"length":      {withHeaders(map[string]string{"content-length": "7"}), `"content-length" says how a request is written`},
		"encoding":    {withHeaders(map[string]string{"Transfer-Encoding": "chunked"}), `"Transfer-Encoding" says how a request is written`},
		"trailer":     {withHeaders(map[string]string{"Trailer": "X"}), `"Trailer" says how a request is written`},
	} {
		err := to(t, srv.URL, c.change).Handle(t.Context(), order())
		require.Equal(t, handler.Down, outcome(err), name)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "s3cret")
	}
	require.Empty(t, got)
}

func TestTheSourceIsTheConfiguredURIOrTheDomain(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://orders.example", Source("https://orders.example", "Shop"))
	for domain, want := range map[string]string{
		"MyDomain": "my_domain", "Shop Stream": "shop_stream", "My Domain 1.0": "my_domain_1_0",
		"golden_shop": "golden_shop", "HTTPShop": "http_shop", "my-bank_id": "my_bank_id",
	} {
		require.Equal(t, "urn:protean:"+want, Source("", domain))
	}
}

func FuzzPercentEncode(f *testing.F) {
	f.Add("shop::order-Zoë 100%")
	f.Fuzz(func(t *testing.T, s string) {
		encoded := percentEncode(s)
		require.False(t, strings.ContainsFunc(encoded, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }))
		decoded, err := url.PathUnescape(encoded)
		require.NoError(t, err)
		require.Equal(t, s, decoded)
	})
}

// An application may echo the password that it decoded.
func TestThePasswordOfAConfiguredBasicAuthenticationReachesNoError(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		http.Error(w, "no such password: "+password, http.StatusUnprocessableEntity)
	}))
	t.Cleanup(srv.Close)
	credentials := base64.StdEncoding.EncodeToString([]byte("me:s3cret-word"))
	err := to(t, srv.URL, withHeaders(map[string]string{"Authorization": "Basic " + credentials})).Handle(t.Context(), order())
	require.ErrorContains(t, err, "no such password: ")
	require.NotContains(t, err.Error(), "s3cret-word")
}
