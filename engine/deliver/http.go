package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// HTTPConfig is where and how an [HTTP] delivers.
type HTTPConfig struct {
	// URL is the target: http or https. User-info in it becomes basic
	// authentication, and appears in no error.
	URL string
	// Name is how errors call the target; default: its URL without user-info and
	// query.
	Name string
	// Source is the events' `source` attribute: see [Source].
	Source string
	// Headers returns the headers to add to each request. It is called for
	// every request, so that a value may change without a restart; it must be
	// cheap and safe for concurrent use. Values appear in no error. Nil adds
	// none.
	Headers func() (map[string]string, error)
	// LeftOut is called for each extension attribute that an event could not
	// have; the event is sent without it. Nil ignores them.
	LeftOut func(LeftOut)
	// Timeout is how long a target may take to answer; default 30 s. The
	// context given to Handle may end earlier.
	Timeout time.Duration
	// Concurrency is how many requests run side by side: as many connections
	// are kept alive. Default 1.
	Concurrency int
}

func (c HTTPConfig) withDefaults() HTTPConfig {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	if c.Headers == nil {
		c.Headers = func() (map[string]string, error) { return nil, nil }
	}
	if c.LeftOut == nil {
		c.LeftOut = func(LeftOut) {}
	}
	return c
}

// parse validates the config and returns the target.
func (c HTTPConfig) parse() (*url.URL, error) {
	target, err := url.Parse(c.URL)
	switch {
	case err != nil: // err repeats the URL, which may hold a password
		return nil, errors.New("deliver: the target is not a URL; expected http://host:port/path")
	case target.Scheme != "http" && target.Scheme != "https", target.Host == "":
		return nil, fmt.Errorf("deliver: target %s: expected http://host:port/path or https://…", nameOf(target))
	case c.Source == "":
		return nil, fmt.Errorf("deliver: target %s: Source must be set", nameOf(target))
	case c.Timeout < 0:
		return nil, fmt.Errorf("deliver: target %s: Timeout must be positive, got %s", nameOf(target), c.Timeout)
	case c.Concurrency < 0:
		return nil, fmt.Errorf("deliver: target %s: Concurrency must be positive, got %d", nameOf(target), c.Concurrency)
	}
	if _, err := url.Parse(c.Source); err != nil {
		return nil, fmt.Errorf("deliver: source %q is not a URI: expected one such as urn:protean:shop", c.Source)
	}
	return target, nil
}

// nameOf is how errors call a target: without user-info and query, both of
// which may hold secrets.
func nameOf(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// HTTP posts each message to one target as a CloudEvent 1.0 in HTTP binary
// mode; the body is the payload's text as it arrived. It is safe for concurrent
// use. The caller of NewHTTP closes it.
type HTTP struct {
	config    HTTPConfig
	target    *url.URL
	name      string
	template  template
	direct    *direct // nil where the target cannot be posted to directly
	transport *transport
	answered  atomic.Int64 // when the application last answered, not a proxy before it, in nanoseconds of Unix
}

// NewHTTP returns an HTTP. It connects to nothing.
func NewHTTP(c HTTPConfig) (*HTTP, error) {
	target, err := c.parse()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(target, c.Source)
	if err != nil {
		return nil, fmt.Errorf("deliver: target %s: source %q cannot be a CloudEvent's: %w", nameOf(target), c.Source, err)
	}
	c = c.withDefaults()
	return &HTTP{
		config: c, target: target, name: cmp.Or(c.Name, nameOf(target)),
		template: template, direct: newDirect(target, c.Concurrency), transport: newTransport(target, c.Concurrency),
	}, nil
}

// Close closes the idle connections. Requests under way go on.
func (t *HTTP) Close() error {
	if t.direct != nil {
		t.direct.close()
	}
	t.transport.closeIdle()
	return nil
}

// Handle posts the message. The answer becomes the outcome:
//
//   - 2xx: nil.
//   - 408, 425, 429: handler.RetryAfter, by the answer's Retry-After (seconds or
//     date; at least a second, which is also the default; at most an hour).
//   - 400, 410, 413, 415, 422: handler.Reject; the first kilobyte of the answer is
//     the reason.
//   - a message that cannot be put into headers: handler.RejectUncalled.
//   - 401, 403, 404, 405, 502, 503, 504: handler.Unavailable.
//   - whatever prevented the request from reaching the target (refused, unresolved,
//     TLS, a header's value that cannot be read): handler.Unreachable.
//   - a connection cut before an answer: handler.Interrupted if the request was
//     written whole, so that the target may have handled the message, else
//     handler.Unavailable. Only a request of which nothing was written, because
//     a kept connection turned out to be closed, is sent again by itself.
//   - no answer in time: handler.Unavailable if the target has answered nothing
//     else since this request began, else a failure. A handler.Unavailable does
//     not count as an answer: a 502 is a proxy's.
//   - all else, redirects included: a failure.
//
// When ctx is cancelled the cause is returned: the message is not this process' any
// more, or the process ends. It says nothing of the target.
func (t *HTTP) Handle(ctx context.Context, m *message.Envelope) error {
	room := rooms.Get().(*room)
	defer rooms.Put(room)
	r, err := t.request(m, room)
	if err != nil {
		return err
	}
	began := time.Now()
	a, failure := t.post(ctx, &r)
	if failure != nil {
		t.dropIdle()
		return t.outcomeOfFailure(ctx, failure, t.answersOthers(began))
	}
	if a.status/100 == 2 {
		t.answered.Store(time.Now().UnixNano())
		return nil
	}
	a.text = clip(hide(a.text, t.secretsOf(r.configured)), maxReason)
	err = t.outcomeOfAnswer(a)
	if isDown(a.status) {
		t.transport.closeIdle() // another connection may lead to an instance that is up
	} else {
		t.answered.Store(time.Now().UnixNano())
	}
	return err
}

// answersOthers reports whether the application has answered others since a request
// began, and until a short while ago: it did not fall silent meanwhile.
func (t *HTTP) answersOthers(began time.Time) bool {
	lately := time.Now().Add(-time.Since(began) / 4)
	at := time.Unix(0, t.answered.Load())
	return at.After(began) && at.After(lately)
}

// dropIdle closes the connections that are kept: they may lead nowhere, like the one
// that failed.
func (t *HTTP) dropIdle() {
	if t.direct != nil {
		t.direct.dropIdle()
	}
	t.transport.closeIdle()
}

func (t *HTTP) post(ctx context.Context, r *request) (answer, *noAnswer) {
	if t.direct != nil && len(r.body) <= maxDirect {
		return t.direct.post(ctx, t.config.Timeout, r)
	}
	return t.transport.post(ctx, t.config.Timeout, r)
}
