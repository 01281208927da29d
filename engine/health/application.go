package health

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ApplicationConfig is what the probes of an HTTP service are answered from.
type ApplicationConfig struct {
	// Checks are what readiness depends on, those of [domain.Domain.Checks] as a rule.
	Checks Checks
	// Prefix stands before each path, as "/internal" does in "/internal/readyz";
	// default: none. A slash at its end is left out.
	Prefix string
	// Logger gets a line when a check that readiness depends on begins to fail, and
	// when it succeeds again; default slog.Default().
	Logger *slog.Logger
}

// Application answers GET /livez, /healthz and /readyz within an HTTP service of the
// program's own, as Protean's router for FastAPI does: that the service answers is
// its liveness, and its readiness is that of its dependencies, within a second, as a
// [Handler] finds it. It can be mounted in any router; a request for another path is
// answered with 404.
type Application struct {
	prefix string
	logger *slog.Logger
	checks round
}

// NewApplication returns an Application. Close it. It fails where the prefix is no
// path.
func NewApplication(c ApplicationConfig) (*Application, error) {
	prefix := strings.TrimSuffix(c.Prefix, "/")
	if prefix != "" && prefix[0] != '/' {
		return nil, fmt.Errorf("health: Prefix %q must begin with a slash, as in %q", c.Prefix, "/"+prefix)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Application{prefix: prefix, logger: c.Logger.With("component", "health"), checks: roundOf(c.Checks)}, nil
}

// Close ends the checks under way as [Handler.Close] does.
func (a *Application) Close() error { return a.checks.closeWithin(time.Second) }

// ApplicationReport is the body of an answer.
type ApplicationReport struct {
	Status string            `json:"status" enum:"ok,degraded" doc:"ok, or degraded where a check fails"`
	Checks ApplicationChecks `json:"checks"`
}

// ApplicationChecks are what was checked: the application alone for liveness, its dependencies
// for readiness.
type ApplicationChecks struct {
	Application string            `json:"application,omitempty" doc:"running"`
	Providers   map[string]string `json:"providers,omitzero" doc:"Databases, each ok or unavailable"`
	Brokers     map[string]string `json:"brokers,omitzero" doc:"Brokers, each ok or unavailable"`
	EventStore  string            `json:"event_store,omitempty" doc:"ok or unavailable; absent where there is none"`
	Caches      map[string]string `json:"caches,omitzero" doc:"Caches, each ok or unavailable"`
}

// Paths are those that are answered, with their prefix: of liveness, of its other
// name, and of readiness.
func (a *Application) Paths() (livez, healthz, readyz string) {
	return a.prefix + "/livez", a.prefix + "/healthz", a.prefix + "/readyz"
}

// Live is the answer to a liveness probe.
func (a *Application) Live() (status int, body ApplicationReport) {
	return http.StatusOK, ApplicationReport{Status: "ok", Checks: ApplicationChecks{Application: "running"}}
}

// Ready is the answer to a readiness probe.
func (a *Application) Ready(ctx context.Context) (status int, body ApplicationReport) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	status, body = http.StatusOK, ApplicationReport{Status: "ok", Checks: ApplicationChecks{
		Providers: map[string]string{}, Brokers: map[string]string{}, Caches: map[string]string{},
	}}
	families := map[string]map[string]string{
		providers: body.Checks.Providers, brokers: body.Checks.Brokers, caches: body.Checks.Caches,
	}
	for _, f := range a.checks.run(ctx) {
		f.logChange(a.logger)
		if f.err != nil {
			status, body.Status = http.StatusServiceUnavailable, "degraded"
		}
		if f.family == eventStore {
			body.Checks.EventStore = f.word()
		} else {
			families[f.family][f.name] = f.word()
		}
	}
	return status, body
}

// ServeHTTP answers one probe.
func (a *Application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var status int
	var body any
	livez, healthz, readyz := a.Paths()
	switch path := r.URL.Path; {
	case path != livez && path != healthz && path != readyz:
		status, body = http.StatusNotFound, problem{"Not Found"}
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		status, body = http.StatusMethodNotAllowed, problem{"Method Not Allowed"}
	case path == readyz:
		status, body = a.Ready(r.Context())
	default:
		status, body = a.Live()
	}
	text := jsonText(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may have closed the connection
}

// Text is the body as it is written.
func (r ApplicationReport) Text() []byte { return jsonText(r) }

func jsonText(body any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // texts and maps of texts always encode
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

type problem struct {
	Detail string `json:"detail"`
}
