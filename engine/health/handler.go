package health

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// aliveTimeout is how long a liveness probe waits for Config.Alive.
	aliveTimeout = 2 * time.Second
	// readyTimeout is how long a readiness probe waits for the checks.
	readyTimeout = time.Second
)

// Config is what probes are answered from.
type Config struct {
	// Alive returns nil when the program has responded, and an error when ctx
	// ends before that; default: the program counts as responsive.
	Alive func(ctx context.Context) error
	// Checks are what readiness depends on. Their names are shown in order.
	Checks Checks
	// Subscriptions counts what runs; it is shown, and does not affect the status.
	// Without it the body has no such key.
	Subscriptions func() int
	// ShuttingDown reports whether the program is about to end; then it is
	// not ready, whatever its checks say. Default: it never is.
	ShuttingDown func() bool
	// Drainer is what POST and DELETE /drainz act on; default: there is no such path.
	// While it drains, the program is not ready.
	Drainer Drainer
	// Token lets requests from other machines drain, as `Authorization: Bearer
	// <token>`; default: only those from this one may.
	Token string
	// Logger gets a line when a check that readiness depends on begins to fail, and
	// when it succeeds again; default slog.Default().
	Logger *slog.Logger
}

// Handler answers GET /livez, /healthz and /readyz as Protean does, byte for
// byte: one request a connection, exact paths without a query, JSON bodies in
// Python's spacing. It answers POST and DELETE /drainz too.
//
// A liveness probe is answered within two seconds, a readiness probe within
// one, whatever the dependencies do: what has not answered by then is
// unavailable. A check goes on in the background, for five seconds at most,
// and later probes join it: a dependency is never pinged twice at once.
type Handler struct {
	config Config
	checks round
}

// New returns a Handler. Close it, or give it to [Start].
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "health")
	return &Handler{config: c, checks: roundOf(c.Checks)}
}

// Close ends the checks under way and waits for them, for a second at most;
// then it returns an error that names those that do not end. Probes are still
// answered afterwards, as unavailable.
func (h *Handler) Close() error { return h.checks.closeWithin(time.Second) }

// ServeHTTP answers one probe.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := h.answer(w, r)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client may have closed the connection
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (status int, body string) {
	if r.URL.EscapedPath() == "/drainz" && r.Method != http.MethodGet {
		return h.drain(w, r)
	}
	if r.Method != http.MethodGet {
		return http.StatusMethodNotAllowed, `{"error": "Method Not Allowed"}`
	}
	if r.URL.RawQuery == "" && !r.URL.ForceQuery {
		switch r.URL.EscapedPath() {
		case "/livez", "/healthz":
			return h.alive(r.Context())
		case "/readyz":
			return h.ready(r.Context())
		}
	}
	return http.StatusNotFound, `{"error": "Not Found"}`
}

func (h *Handler) alive(ctx context.Context) (status int, body string) {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	if h.config.Alive != nil && h.config.Alive(ctx) != nil {
		return http.StatusServiceUnavailable, `{"status": "unavailable", "checks": {"event_loop": "blocked"}}`
	}
	return http.StatusOK, `{"status": "ok", "checks": {"event_loop": "responsive"}}`
}

func (h *Handler) ready(ctx context.Context) (status int, body string) {
	if h.config.ShuttingDown != nil && h.config.ShuttingDown() {
		return http.StatusServiceUnavailable, `{"status": "unavailable", "checks": {"shutting_down": true}}`
	}
	if h.config.Drainer != nil && h.config.Drainer.Draining() {
		return http.StatusServiceUnavailable, `{"status": "unavailable", "checks": {"draining": true}}`
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	found := h.checks.run(ctx)
	for _, f := range found {
		f.logChange(h.config.Logger)
	}
	body = details(found, h.config.Subscriptions)
	if slices.ContainsFunc(found, func(f finding) bool { return f.err != nil }) {
		return http.StatusServiceUnavailable, `{"status": "degraded", "checks": ` + body + `}`
	}
	return http.StatusOK, `{"status": "ok", "checks": ` + body + `}`
}
