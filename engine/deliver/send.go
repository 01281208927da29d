package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/observatory-go/observatory/engine/handler"
)

const (
	// maxReason is how much of an answer becomes the reason of a rejection.
	maxReason = 1 << 10
	// maxDrain and drainTimeout bound what is read of an answer, so that its
	// connection can be kept.
	maxDrain     = 64 << 10
	drainTimeout = time.Second
)

func newClient(concurrency int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 proxy,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			MaxIdleConnsPerHost:   concurrency,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// proxy is the environment's. Its errors repeat the variable, password and all.
func proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("the proxy named in the environment (HTTP_PROXY, HTTPS_PROXY) is not a URL")
	}
	return u, nil
}

// send makes the request and turns the answer, or its absence, into an outcome.
func (t *HTTP) send(ctx context.Context, req *http.Request, secrets []string) error {
	before := t.answers.Load()
	var connected atomic.Bool
	bounded, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	traced := httptrace.WithClientTrace(bounded, &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})

	resp, err := t.client.Do(req.WithContext(traced))
	if err != nil {
		return t.outcomeOfError(ctx, err, connected.Load() && t.answers.Load() != before)
	}
	defer time.AfterFunc(drainTimeout, cancel).Stop()
	err = t.outcomeOfStatus(resp, clip(hide(drain(resp.Body), secrets), maxReason))
	if v, _ := handler.OutcomeOf(err); v != handler.Down {
		t.answers.Add(1)
	}
	return err
}

// outcomeOfError is the outcome of a request that got no answer. The target is up
// where the request reached it and others were answered in the meantime: then the
// failure is this message's own.
func (t *HTTP) outcomeOfError(ctx context.Context, err error, up bool) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) { // another cause is the caller's time-out
		return fmt.Errorf("deliver to %s: %w", t.name, cause)
	}
	err = fmt.Errorf("deliver to %s: %w", t.name, t.explain(err))
	var alert tls.AlertError // TLS 1.3 may refuse a certificate after the handshake
	if !up || errors.As(err, &alert) {
		return handler.Unavailable(err)
	}
	return err
}

// explain strips what net/http puts around an error, the URL above all.
func (t *HTTP) explain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("connection closed before an answer: %w", err)
	}
	return err
}

// outcomeOfStatus is the outcome that a target's answer means for the message.
func (t *HTTP) outcomeOfStatus(resp *http.Response, answer string) error {
	err := fmt.Errorf("%s answered %s: %s", t.name, status(resp), answer)
	if answer == "" {
		err = fmt.Errorf("%s answered %s", t.name, status(resp))
	}
	switch code := resp.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return handler.RetryAfter(retryAfter(resp.Header, time.Now()))
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return handler.Reject(err)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return handler.Unavailable(err)
	default:
		if code/100 == 2 {
			return nil
		}
		return err
	}
}

// status is the code and the standard's text for it: a server may send any text.
func status(resp *http.Response) string {
	text := http.StatusText(resp.StatusCode)
	if resp.StatusCode/100 == 3 {
		text += " (redirects are not followed)"
	}
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", text))
}

// drain reads an answer so far as its connection is worth, closes it, and
// returns the beginning as valid UTF-8.
func drain(body io.ReadCloser) string {
	defer body.Close() //nolint:errcheck // nothing depends on it
	// More than is shown, or a secret at the cut would not be recognised.
	head, _ := io.ReadAll(io.LimitReader(body, 4*maxReason))
	_, _ = io.Copy(io.Discard, io.LimitReader(body, maxDrain))
	return strings.TrimSpace(strings.ToValidUTF8(string(head), "\uFFFD"))
}

// clip cuts a text at a rune's start, at most n bytes in.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// hide removes secrets from a text: applications echo headers in their error
// pages. What is shorter than any secret would only garble the text.
func hide(s string, secrets []string) string {
	const shortest = 6
	for _, secret := range secrets {
		if len(secret) >= shortest {
			s = strings.ReplaceAll(s, secret, "xxxxx")
		}
	}
	return s
}
