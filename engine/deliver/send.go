package deliver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
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
	// maxResends is how often a request that never arrived is sent again: kept
	// connections may all have been closed at once.
	maxResends = 3
)

func newClient(concurrency int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 proxy,
			DialContext:           dial,
			TLSHandshakeTimeout:   10 * time.Second,
			MaxIdleConnsPerHost:   concurrency,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
			// Or each request would be given the same dead connection.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
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
	bounded, cancel := context.WithTimeout(ctx, t.config.Timeout)
	defer cancel()
	var sent attempt
	resp, err := t.client.Do(req.WithContext(sent.trace(bounded)))
	for range maxResends {
		if err == nil || bounded.Err() != nil || req.GetBody == nil || !sent.neverArrived() {
			break
		}
		again := req.Clone(sent.trace(bounded))
		if again.Body, err = req.GetBody(); err == nil {
			resp, err = t.client.Do(again)
		}
	}
	if err != nil {
		switch timedOut := bounded.Err() != nil || os.IsTimeout(err); {
		case timedOut && sent.connected() && t.answers.Load() != before:
			return t.outcomeOfError(ctx, err, handler.Failed)
		case !timedOut && sent.wroteAll():
			return t.outcomeOfError(ctx, err, handler.Cut)
		default:
			return t.outcomeOfError(ctx, err, handler.Down)
		}
	}
	defer time.AfterFunc(drainTimeout, cancel).Stop()
	err = t.outcomeOfStatus(resp, clip(hide(drain(resp), secrets), maxReason))
	if v, _ := handler.OutcomeOf(err); v != handler.Down {
		t.answers.Add(1)
	}
	return err
}

// drain reads an answer so far as its connection is worth, closes it, and
// returns the beginning as valid UTF-8.
func drain(resp *http.Response) string {
	defer resp.Body.Close() //nolint:errcheck // nothing depends on it
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return "" // the body is the connection, which no context ends
	}
	// More than is shown, or a secret at the cut would not be recognised.
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 4*maxReason))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
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
