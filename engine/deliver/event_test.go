package deliver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cloudevents "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// sdkHeader is what the CloudEvents SDK writes for an event, with the attributes
// percent-encoded, or why it refuses it.
func sdkHeader(t *testing.T, ev cloudEvent) (http.Header, error) {
	t.Helper()
	model := ev.sdk()
	model.DataEncoded = ev.Data
	if err := model.Validate(); err != nil {
		return nil, err
	}
	req := &http.Request{Header: http.Header{}}
	require.NoError(t, cloudevents.WriteRequest(t.Context(), binding.ToMessage(model), req))
	for name, values := range req.Header {
		if strings.HasPrefix(name, "Ce-") {
			values[0] = percentEncode(values[0])
		}
	}
	return req.Header, nil
}

// sameAsSDK checks that a message's request is the one that the SDK would have
// written, that the SDK reads the very event from it, and that what is refused is
// what the SDK or the standard refuses.
func sameAsSDK(t *testing.T, h *HTTP, m *message.Envelope) {
	t.Helper()
	ev, _ := newEvent(h.config.Source, m, nil)
	want, refused := sdkHeader(t, ev)
	r, err := h.request(m, new(room))
	if refused != nil || !isAttributeText(ev.ID) || !isAttributeText(ev.Type) || !isAttributeText(ev.Subject) {
		require.True(t, handler.IsUncalled(err), "%v; the SDK: %v", err, refused)
		return
	}
	require.NoError(t, err)
	got := h.transport.request(t.Context(), &r).Header
	direct, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.appendTo([]byte(h.direct.line)))))
	require.NoError(t, err)
	require.Equal(t, r.host, direct.Host)
	require.Equal(t, []string{strconv.Itoa(len(m.Data))}, direct.Header["Content-Length"])
	body, err := io.ReadAll(direct.Body)
	require.NoError(t, err)
	require.Equal(t, string(m.Data), string(body))
	direct.Header.Del("Content-Length")
	require.Equal(t, got, direct.Header)
	require.Equal(t, "observatory", got.Get("User-Agent"))
	for _, name := range []string{"User-Agent", "Traceparent", "Tracestate"} { // not the event's
		got.Del(name)
	}
	require.Equal(t, want, got)
	read, err := binding.ToEvent(t.Context(), cloudevents.NewMessage(got, io.NopCloser(strings.NewReader(string(body)))))
	require.NoError(t, err)
	require.Equal(t, ev.sdk().Context, unescaped(t, read.Context.AsV1()))
	require.Equal(t, string(m.Data), string(read.Data()))
}

// unescaped are attributes without the percent-encoding, which the SDK leaves to
// its caller.
func unescaped(t *testing.T, attrs *event.EventContextV1) *event.EventContextV1 {
	t.Helper()
	plain := func(s string) string {
		s, err := url.PathUnescape(s)
		require.NoError(t, err)
		return s
	}
	attrs.ID, attrs.Type = plain(attrs.ID), plain(attrs.Type)
	attrs.Source = *types.ParseURIRef(plain(attrs.Source.String()))
	if attrs.Subject != nil {
		*attrs.Subject = plain(*attrs.Subject)
	}
	for name, value := range attrs.Extensions {
		attrs.Extensions[name] = plain(value.(string))
	}
	return attrs
}

func TestARequestIsTheOneThatTheSDKWouldWrite(t *testing.T) {
	t.Parallel()
	for _, source := range []string{shop, "https://orders.example/a%20b?c=d&e=ü", "/relative"} {
		h := to(t, "http://127.0.0.1:1", func(c *HTTPConfig) { c.Source = source })
		for _, m := range fixtures(t) {
			sameAsSDK(t, h, m)
		}
		for _, change := range []func(*message.Envelope){
			func(*message.Envelope) {},
			func(m *message.Envelope) { m.Data = nil },
			func(m *message.Envelope) { m.Metadata = message.Metadata{} },
			func(m *message.Envelope) { m.Metadata.Domain.Kind = message.KindBroker },
			func(m *message.Envelope) { m.Metadata.Domain.Kind = message.KindCommand },
			func(m *message.Envelope) { m.Metadata.Headers.Time = time.Time{} },
			func(m *message.Envelope) {
				m.Metadata.Headers.Time = time.Date(1, 2, 3, 4, 5, 6, 7, time.FixedZone("", -3600))
			},
			func(m *message.Envelope) { m.Metadata.Headers.Stream = `shop::order-Zoë "100%" 日本` },
			func(m *message.Envelope) { m.Metadata.Headers.Stream = "shop::order- " },
			func(m *message.Envelope) { m.Metadata.Headers.ID = "\u00a0" },
			func(m *message.Envelope) { m.Metadata.Headers.Type = "a\nb" },
			func(m *message.Envelope) { m.Metadata.Domain.CorrelationID = "\x00" },
			func(m *message.Envelope) {
				m.Metadata.Extensions = []byte(`{"Tenant_ID": "acme", "9": 7, "x": 0.50, "live": true, "city": "Zürich", "tracestate": "a=1"}`)
			},
		} {
			m := order()
			change(m)
			sameAsSDK(t, h, m)
		}
	}
}

func FuzzARequestIsTheOneThatTheSDKWouldWrite(f *testing.F) {
	f.Add("shop::order-o1-0.1", "Shop.OrderPlaced.v1", "shop::order-o1", "0.1", `{"tenant": "acme"}`, int64(1_700_000_000))
	f.Add(" ", "\t", "shop::order- ", "", `{"A": "\ud800", "b": "%"}`, int64(0))
	f.Fuzz(func(t *testing.T, id, typ, stream, sequence, extensions string, seconds int64) {
		h := to(t, "http://127.0.0.1:1")
		m := order()
		m.Metadata.Headers.ID, m.Metadata.Headers.Type, m.Metadata.Headers.Stream = id, typ, stream
		m.Metadata.Headers.Time = time.Unix(seconds%(1<<37), 0)
		m.Metadata.Domain.SequenceID = sequence
		if object := map[string]any{}; json.Unmarshal([]byte(extensions), &object) == nil {
			m.Metadata.Extensions = []byte(extensions)
		}
		sameAsSDK(t, h, m)
	})
}
