package gauges

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// writeTimeout is how long a scraper may take to read the answer.
const writeTimeout = 10 * time.Second

// Config is what a Handler serves.
type Config struct {
	// Snapshots is where the gauges of the table come from.
	Snapshots Snapshots
	// Counters are served beside them: [Telemetry.Registry]. Default: none.
	Counters prometheus.Gatherer
	// Logger gets what could not be gathered or written; default
	// slog.Default().
	Logger *slog.Logger
}

// Handler serves a scrape as Prometheus' text (version 0.0.4), or as
// OpenMetrics to a client that accepts it, exemplars included.
//
// The infrastructure is read under the scrape's own deadline: the request's
// context, and the time-out that Prometheus states in the header
// X-Prometheus-Scrape-Timeout-Seconds (10 s where it does not), less a tenth
// of that, at most half a second, for writing the answer. What was not read by
// then is missing, and shows in protean_collector_success. The answer may take
// ten seconds to be read, whatever the server's own WriteTimeout.
func Handler(config Config) http.Handler {
	h := &handler{Config: config, gatherer: NewGatherer(config.Logger)}
	if h.Counters == nil {
		h.Counters = prometheus.NewRegistry()
	}
	h.options = promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          slog.NewLogLogger(component(config.Logger).Handler(), slog.LevelWarn),
	}
	return h
}

type handler struct {
	Config
	gatherer *Gatherer
	options  promhttp.HandlerOpts
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limit := scrapeTime(r.Header)
	// A writer without deadlines is one of a test, or bounded by itself.
	bound := http.NewResponseController(w)
	_ = bound.SetWriteDeadline(time.Now().Add(limit + writeTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	taken := snapshot(ctx, h.Snapshots)
	_ = bound.SetWriteDeadline(time.Now().Add(writeTimeout))
	merged := prometheus.NewMultiTRegistry(
		prometheus.ToTransactionalGatherer(h.Counters),
		h.gatherer.Of(taken),
	)
	promhttp.HandlerForTransactional(merged, h.options).ServeHTTP(w, r)
}

// scrapeTime is the time-out that the scraper states, less the margin.
func scrapeTime(header http.Header) time.Duration {
	const unstated, longest = 10.0, 3600.0
	seconds, err := strconv.ParseFloat(header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		seconds = unstated
	}
	seconds = min(seconds, longest)
	return time.Duration((seconds - min(seconds/10, 0.5)) * float64(time.Second))
}
