package gauges

import (
	"compress/gzip"
	"context"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// writeTimeout is how long a scraper may take to read the answer.
const writeTimeout = 10 * time.Second

// Config is what a Handler serves.
type Config struct {
	// Snapshots is where the gauges of the table come from.
	Snapshots Snapshots
	// Counters are served beside them: [Telemetry.Counters], or a registry by
	// [prometheus.ToTransactionalGatherer]. Default: none.
	Counters prometheus.TransactionalGatherer
	// Logger gets what could not be gathered or written; default
	// slog.Default().
	Logger *slog.Logger
}

// Handler serves a scrape as Prometheus' text (version 0.0.4), or as
// OpenMetrics to a client that accepts it, exemplars included; compressed by gzip
// for one that accepts that.
//
// The infrastructure is read under the scrape's own deadline: the request's
// context, and the time-out that Prometheus states in the header
// X-Prometheus-Scrape-Timeout-Seconds (10 s where it does not), less a tenth
// of that, at most half a second, for writing the answer. What was not read by
// then is missing, and shows in protean_collector_success. The answer may take
// ten seconds to be read, whatever the server's own WriteTimeout.
func Handler(config Config) http.Handler {
	h := &handler{Config: config}
	if h.Counters == nil {
		h.Counters = prometheus.ToTransactionalGatherer(prometheus.NewRegistry())
	}
	// What producers count is written with the table.
	var producers []sdkmetric.Producer
	if both, ok := h.Counters.(counters); ok {
		producers, h.Counters = both.producers, both.rest
	}
	h.expositions = newExpositions(Table(), producers, config.Logger)
	h.options = promhttp.HandlerOpts{
		EnableOpenMetrics:  true,
		DisableCompression: true,
		ErrorHandling:      promhttp.ContinueOnError,
		ErrorLog:           slog.NewLogLogger(component(config.Logger).Handler(), slog.LevelWarn),
	}
	return h
}

type handler struct {
	Config
	expositions *expositions
	options     promhttp.HandlerOpts
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
	w, finish := compressed(w, r)
	defer finish()
	e := h.expositions.of(taken)
	defer h.expositions.giveBack(e)
	rest := h.Counters
	if !h.writeText(w, r, e) {
		rest = prometheus.NewMultiTRegistry(rest, e)
	}
	promhttp.HandlerForTransactional(rest, h.options).ServeHTTP(w, r)
}

// writeText writes the exposition before all else, and reports false for a format
// that is not text.
func (h *handler) writeText(w http.ResponseWriter, r *http.Request, e *exposition) bool {
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	kind := format.FormatType()
	if kind != expfmt.TypeTextPlain && kind != expfmt.TypeOpenMetrics {
		return false
	}
	w.Header().Set("Content-Type", string(format))
	only := func(string) bool { return true }
	if names := r.URL.Query()["name[]"]; len(names) > 0 {
		only = func(name string) bool { return slices.Contains(names, name) }
	}
	t := text{out: w, open: kind == expfmt.TypeOpenMetrics, only: only}
	if err := t.write(e.families()); err != nil {
		component(h.Logger).Debug("the answer to a scrape was cut off", "error", err)
	}
	return true
}

// compressed returns a writer that compresses where the client accepts gzip. The
// lowest level takes a quarter of the time of the usual one, and leaves a
// twentieth more bytes of a text as repetitive as this.
func compressed(w http.ResponseWriter, r *http.Request) (out http.ResponseWriter, finish func()) {
	w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header) {
		return w, func() {}
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := compressors.Get().(*gzip.Writer)
	z.Reset(w)
	return gzipped{w, z}, func() {
		_ = z.Close() // fails with the connection, which the client sees
		compressors.Put(z)
	}
}

var compressors = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails on an unknown level only
	return z
}}

type gzipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (g gzipped) Write(b []byte) (int, error) { return g.z.Write(b) }

// acceptsGzip reports whether one of the encodings that the client names is gzip
// and not refused by weight 0.
func acceptsGzip(header http.Header) bool {
	for _, line := range header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(strings.ToLower(part), ";")
			if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
				continue
			}
			weight, weighted := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return !weighted || err == nil && q > 0
		}
	}
	return false
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
