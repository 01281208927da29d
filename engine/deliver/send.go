package deliver

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
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

func newTransport(concurrency int) *http.Transport {
	return &http.Transport{
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

// send returns the target's answer. It goes below http.Client, whose redirects,
// cookies and errors with the URL in them are not asked for.
func (t *HTTP) send(req *http.Request, sent *attempt) (*http.Response, error) {
	resp, err := t.transport.RoundTrip(req)
	for range maxResends {
		if err == nil || req.Context().Err() != nil || !sent.neverArrived() {
			break
		}
		again := req.WithContext(req.Context())
		if req.GetBody != nil {
			again.Body, _ = req.GetBody()
		}
		resp, err = t.transport.RoundTrip(again)
	}
	return resp, err
}

// drain reads an answer so far as its connection is worth, and closes it. The
// beginning of one that is not 2xx is returned as valid UTF-8. cancel ends the
// request.
func drain(resp *http.Response, cancel func()) string {
	defer resp.Body.Close() //nolint:errcheck // nothing depends on it
	if resp.ContentLength == 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return "" // the body of a 101 is the connection, which no context ends
	}
	defer time.AfterFunc(drainTimeout, cancel).Stop()
	var head []byte
	if resp.StatusCode/100 != 2 {
		// More than is shown, or a secret at the cut would not be recognised.
		head, _ = io.ReadAll(io.LimitReader(resp.Body, 4*maxReason))
	}
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
