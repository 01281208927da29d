package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

const contentType = "application/json"

// request builds the request for a message, and lists what must not appear in
// an error.
func (t *HTTP) request(m *message.Envelope) (*http.Request, []string, error) {
	ev, leftOut := newEvent(t.config.Source, m)
	req, err := t.encode(ev)
	if err != nil {
		return nil, nil, handler.RejectUncalled(fmt.Errorf("message cannot be a CloudEvent over HTTP: %w", err))
	}
	for _, extension := range leftOut {
		t.config.LeftOut(extension)
	}
	secrets, err := t.configure(req)
	if err != nil {
		return nil, nil, handler.Unavailable(fmt.Errorf("deliver to %s: %w", t.name, err))
	}
	for _, e := range ev.Extensions { // where tracing middleware reads it
		if (e.name == "traceparent" || e.name == "tracestate") && percentEncode(e.text) == e.text {
			req.Header.Set(e.name, e.text)
		}
	}
	return req, secrets, nil
}

func (t *HTTP) encode(ev cloudEvent) (*http.Request, error) {
	if err := ev.check(isAttributeText); err != nil {
		return nil, err
	}
	sdk := ev.sdk()
	if err := sdk.Validate(); err != nil {
		return nil, errors.New(strings.TrimSpace(err.Error()))
	}
	req := &http.Request{Method: http.MethodPost, URL: t.target, Host: t.target.Host, Header: http.Header{}}
	if err := cehttp.WriteRequest(context.Background(), binding.ToMessage(sdk), req); err != nil {
		return nil, err
	}
	escapeAttributes(req.Header)
	return req, nil
}

// sdk is the event in the terms of the CloudEvents SDK.
func (e cloudEvent) sdk() *event.Event {
	attrs := &event.EventContextV1{
		ID:              e.ID,
		Type:            e.Type,
		DataContentType: &e.DataContentType,
		Extensions:      make(map[string]any, len(e.Extensions)),
	}
	for _, extension := range e.Extensions {
		attrs.Extensions[extension.name] = extension.text
	}
	if source := types.ParseURIRef(e.Source); source != nil {
		attrs.Source = *source
	}
	if e.Subject != "" {
		attrs.Subject = &e.Subject
	}
	if !e.Time.IsZero() {
		attrs.Time = &types.Timestamp{Time: e.Time}
	}
	return &event.Event{Context: attrs, DataEncoded: e.Data}
}

// escapeAttributes percent-encodes the attributes as the HTTP binding, section
// 3.1.3.2, demands: the SDK does not (cloudevents/sdk-go#1331), and text beyond
// ASCII would be read as Latin-1.
func escapeAttributes(h http.Header) {
	for name, values := range h {
		if !strings.HasPrefix(name, "Ce-") {
			continue
		}
		for i, v := range values {
			values[i] = percentEncode(v)
		}
	}
}

func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	special := func(c byte) bool { return c <= ' ' || c > '~' || c == '"' || c == '%' }
	if !slices.ContainsFunc([]byte(s), special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; special(c) {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// configure adds the configured headers, and returns what they and the URL keep
// secret.
func (t *HTTP) configure(req *http.Request) (secrets []string, err error) {
	configured, err := t.config.Headers()
	if isOutOfFiles(err) {
		err = outOfFiles(err)
	}
	if err != nil {
		return nil, fmt.Errorf("configured headers: %w", err)
	}
	for name, value := range configured {
		if err := setHeader(req, name, value); err != nil {
			return nil, err
		}
		secrets = append(secrets, secretsIn(value)...)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "observatory")
	}
	return slices.Concat(secrets, userSecrets(t.target.User), querySecrets(t.target)), nil
}

func setHeader(req *http.Request, name, value string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case canonical == "Content-Type", strings.HasPrefix(canonical, "Ce-"):
		return fmt.Errorf("header %q belongs to the event and cannot be configured", name)
	case !isToken(name):
		return fmt.Errorf("configured header %q is not a header's name", name)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("the value configured for header %q holds control characters, such as a line break at its end", name)
	case canonical == "Host":
		req.Host = value
	case canonical == "Idempotency-Key", canonical == "X-Idempotency-Key":
		// By its canonical name net/http would take it as leave to repeat the
		// request by itself, behind the count of attempts.
		req.Header[strings.ToLower(canonical)] = []string{value}
	default:
		req.Header.Set(canonical, value)
	}
	return nil
}

func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// secretsIn are the texts by which a header's value would be known: all of it,
// and what follows a scheme such as "Bearer".
func secretsIn(value string) []string {
	secrets := []string{value}
	if _, credentials, ok := strings.Cut(value, " "); ok {
		secrets = append(secrets, credentials)
	}
	return secrets
}

func userSecrets(u *url.Userinfo) []string {
	if u == nil {
		return nil
	}
	password, _ := u.Password()
	basic := &http.Request{Header: http.Header{}}
	basic.SetBasicAuth(u.Username(), password)
	return append(secretsIn(basic.Header.Get("Authorization")), password)
}

// querySecrets are the parameters of a target: keys of APIs often stand there.
func querySecrets(u *url.URL) []string {
	secrets := []string{u.RawQuery}
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	return secrets
}
