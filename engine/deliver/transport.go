package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxResends is how often a request that never arrived is sent again: kept
// connections may all have been closed at once.
const maxResends = 3

// transport posts by net/http: with TLS, HTTP/2 and proxies.
type transport struct {
	template *http.Request // without headers
	// http is made when it is first needed: there may be thousands of targets that
	// are posted to directly.
	http func() *http.Transport
	used atomic.Bool
}

func newTransport(target *url.URL, concurrency int) *transport {
	t := &transport{template: &http.Request{Method: http.MethodPost, URL: target}}
	t.http = sync.OnceValue(func() *http.Transport {
		t.used.Store(true)
		return &http.Transport{
			Proxy:                 proxy,
			DialContext:           dial,
			TLSHandshakeTimeout:   10 * time.Second,
			MaxIdleConnsPerHost:   concurrency,
			IdleConnTimeout:       idleTimeout,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
			// Or each request would be given the same dead connection.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		}
	})
	return t
}

// proxy is the environment's. Its errors repeat the variable, password and all.
func proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("the proxy named in the environment (HTTP_PROXY, HTTPS_PROXY) is not a URL")
	}
	return u, nil
}

func (t *transport) post(ctx context.Context, timeout time.Duration, r *request) (answer, *noAnswer) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent := new(attempt)
	resp, err := t.send(sent.trace(bounded), r, sent)
	if err != nil {
		return answer{}, &noAnswer{
			err: err, timedOut: bounded.Err() != nil || os.IsTimeout(err), connected: sent.connected(), wroteAll: sent.wroteAll(),
		}
	}
	defer resp.Body.Close() //nolint:errcheck // nothing depends on it
	defer time.AfterFunc(drainTimeout, cancel).Stop()
	a, _ := readAnswer(resp)
	return a, nil
}

// send returns the target's answer. It goes below http.Client, whose redirects,
// cookies and errors with the URL in them are not asked for.
func (t *transport) send(ctx context.Context, r *request, sent *attempt) (*http.Response, error) {
	resp, err := t.http().RoundTrip(t.request(ctx, r))
	for range maxResends {
		if err == nil || ctx.Err() != nil || !sent.neverArrived() {
			break
		}
		resp, err = t.http().RoundTrip(t.request(ctx, r))
	}
	return resp, err
}

// request is a request in the terms of net/http.
func (t *transport) request(ctx context.Context, r *request) *http.Request {
	req := t.template.WithContext(ctx)
	req.Host = r.host
	req.Header = make(http.Header, len(r.fields))
	values := make([]string, len(r.fields))
	for i, f := range r.fields {
		values[i] = f.value
		req.Header[f.name] = values[i : i+1 : i+1]
	}
	if len(r.body) > 0 {
		req.ContentLength = int64(len(r.body))
		req.Body = io.NopCloser(bytes.NewReader(r.body))
	}
	return req
}

func (t *transport) closeIdle() {
	if t.used.Load() {
		t.http().CloseIdleConnections()
	}
}
