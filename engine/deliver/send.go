package deliver

import (
	"context"
	"errors"
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
