package subscription

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
)

// figures are what a subscription counts for itself, to be read by [Metrics].
// Two histogram records of the SDK cost a sixth of the throughput; these cost a
// few atomic additions on memory that one worker writes.
type figures struct {
	since time.Time
	totals
	calls []atomic.Pointer[callFigures] // a worker has one of its own, once it is started
}

// totals are counted by the dispatcher.
type totals struct {
	ok, failed, skipped, retries, ghosts, lost atomic.Int64
	deadLettered                               [len(reasons)]atomic.Int64
	closed, opened, halfOpen                   atomic.Int64 // of the circuit breaker
}

// callFigures are counted by one worker.
type callFigures struct{ duration, endToEnd histogram }

func newFigures(concurrency int) *figures {
	return &figures{since: time.Now(), calls: make([]atomic.Pointer[callFigures], concurrency)}
}

// observer implements counting.
func (f *figures) observer(worker int) func(*Task) {
	own := &f.calls[worker]
	own.CompareAndSwap(nil, &callFigures{newHistogram(durationBounds), newHistogram(endToEndBounds)})
	return own.Load().observe
}

func (c *callFigures) observe(t *Task) {
	if !t.wasAnswered() {
		return
	}
	var span trace.SpanContext
	if t.call.traced {
		span = trace.SpanContextFromContext(t.call)
	}
	c.duration.record(t.took, span)
	if t.outcome != handler.Done {
		return
	}
	if at := t.at; !at.IsZero() {
		c.endToEnd.record(max(t.started.Add(t.took).Sub(at), 0), span)
	}
}

// count implements counting.
func (f *figures) count(c counts) {
	f.ok.Add(c.ok)
	f.failed.Add(c.failed)
	f.skipped.Add(c.skipped)
	f.retries.Add(c.retries)
}

func (f *figures) ghost() { f.ghosts.Add(1) }
func (f *figures) lose()  { f.lost.Add(1) }

func (f *figures) deadLetter(why deadletter.Reason) { f.deadLettered[indexOf(why)].Add(1) }

func (f *figures) transition(to breakerState) { f.of(to).Add(1) }

// of counts the transitions to a state.
func (t *totals) of(s breakerState) *atomic.Int64 {
	switch s {
	case breakerOpened:
		return &t.opened
	case breakerHalfOpen:
		return &t.halfOpen
	default:
		return &t.closed
	}
}

// histogram counts durations in buckets.
type histogram struct {
	bounds []time.Duration
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Uint64   // the bits of a float64: seconds; one goroutine writes

	mu        sync.Mutex
	exemplars []metricdata.Exemplar[float64] // the last of each bucket; nil until there is one
}

func newHistogram(bounds []time.Duration) histogram {
	return histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// durationBounds and endToEndBounds are shared by all histograms.
var durationBounds, endToEndBounds = boundsOf(durationBuckets), boundsOf(endToEndBuckets)

func boundsOf(seconds []float64) []time.Duration {
	bounds := make([]time.Duration, len(seconds))
	for i, s := range seconds {
		bounds[i] = time.Duration(math.Round(s * float64(time.Second)))
	}
	return bounds
}

func (h *histogram) record(d time.Duration, span trace.SpanContext) {
	bucket, _ := slices.BinarySearch(h.bounds, d) // a bound belongs to the bucket below it
	h.counts[bucket].Add(1)
	h.sum.Store(math.Float64bits(h.seconds() + d.Seconds()))
	if !span.IsSampled() {
		return
	}
	traceID, spanID := span.TraceID(), span.SpanID()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.exemplars == nil {
		h.exemplars = make([]metricdata.Exemplar[float64], len(h.counts))
	}
	h.exemplars[bucket] = metricdata.Exemplar[float64]{
		Time: time.Now(), Value: d.Seconds(), TraceID: traceID[:], SpanID: spanID[:],
	}
}

func (h *histogram) seconds() float64 { return math.Float64frombits(h.sum.Load()) }

// addTo adds what was recorded to a point of the same bounds. exemplars has one a
// bucket, or is nil; of several workers' the last stands.
func (h *histogram) addTo(p *metricdata.HistogramDataPoint[float64], exemplars []metricdata.Exemplar[float64]) []metricdata.Exemplar[float64] {
	for i := range h.counts {
		n := h.counts[i].Load()
		p.BucketCounts[i] += n
		p.Count += n
	}
	p.Sum += h.seconds()
	h.mu.Lock()
	defer h.mu.Unlock()
	if exemplars == nil {
		return slices.Clone(h.exemplars)
	}
	for i, e := range h.exemplars {
		if e.Time.After(exemplars[i].Time) {
			exemplars[i] = e
		}
	}
	return exemplars
}
