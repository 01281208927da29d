package subscription

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Metrics are the figures of all runners that count for themselves, which those
// without a meter do: cumulative, each series from the runner's beginning on, and
// each counter there from the start with 0. The caller may keep them.
func Metrics(runners []*Runner) []metricdata.Metrics {
	runners = slices.DeleteFunc(slices.Clone(runners), func(r *Runner) bool { return r.figures == nil })
	if len(runners) == 0 {
		return nil
	}
	now := time.Now()
	sum := func(i instrument, read func(r *Runner, add func(attribute.Set, int64))) metricdata.Metrics {
		points := make([]metricdata.DataPoint[int64], 0, len(runners))
		for _, r := range runners {
			read(r, func(labels attribute.Set, n int64) {
				points = append(points, metricdata.DataPoint[int64]{Attributes: labels, StartTime: r.figures.since, Time: now, Value: n})
			})
		}
		return i.of(metricdata.Sum[int64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true})
	}
	durations := func(i instrument, bounds []float64, of func(*callFigures) *histogram) metricdata.Metrics {
		points := make([]metricdata.HistogramDataPoint[float64], len(runners))
		buckets := make([]uint64, len(runners)*(len(bounds)+1))
		for k, r := range runners {
			p := &points[k]
			p.Attributes, p.StartTime, p.Time, p.Bounds = r.labels.own, r.figures.since, now, bounds
			p.BucketCounts, buckets = buckets[:len(bounds)+1:len(bounds)+1], buckets[len(bounds)+1:]
			var exemplars []metricdata.Exemplar[float64]
			for i := range r.figures.calls {
				if c := r.figures.calls[i].Load(); c != nil {
					exemplars = of(c).addTo(p, exemplars)
				}
			}
			p.Exemplars = slices.DeleteFunc(exemplars, func(e metricdata.Exemplar[float64]) bool { return e.TraceID == nil })
		}
		return i.of(metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality})
	}
	metrics := []metricdata.Metrics{
		sum(processedMessages, func(r *Runner, add func(attribute.Set, int64)) {
			add(r.labels.ok, r.figures.ok.Load())
			add(r.labels.failed, r.figures.failed.Load())
			add(r.labels.skipped, r.figures.skipped.Load())
		}),
		sum(scheduledRetries, func(r *Runner, add func(attribute.Set, int64)) { add(r.labels.own, r.figures.retries.Load()) }),
		sum(deadLetters, func(r *Runner, add func(attribute.Set, int64)) {
			for i, labels := range r.labels.reasons {
				add(labels, r.figures.deadLettered[i].Load())
			}
		}),
		sum(ghostEntries, func(r *Runner, add func(attribute.Set, int64)) { add(r.labels.own, r.figures.ghosts.Load()) }),
		sum(lostEntries, func(r *Runner, add func(attribute.Set, int64)) { add(r.labels.own, r.figures.lost.Load()) }),
		sum(circuitBreaker, func(r *Runner, add func(attribute.Set, int64)) {
			for _, s := range breakerStates {
				if labels, has := r.labels.breaker[s]; has {
					add(labels, r.figures.of(s).Load())
				}
			}
		}),
		durations(callDuration, durationBuckets, func(c *callFigures) *histogram { return &c.duration }),
		durations(endToEnd, endToEndBuckets, func(c *callFigures) *histogram { return &c.endToEnd }),
	}
	return append(slices.DeleteFunc(metrics, isEmpty), readGauges(runners, now)...)
}

// isEmpty reports whether a sum has no series.
func isEmpty(m metricdata.Metrics) bool {
	s, ok := m.Data.(metricdata.Sum[int64])
	return ok && len(s.DataPoints) == 0
}

// readGauges reads the gauges of all runners, a metric each.
func readGauges(runners []*Runner, now time.Time) (metrics []metricdata.Metrics) {
	points := make(map[instrument][]metricdata.DataPoint[int64])
	var order []instrument
	for _, r := range runners {
		for _, g := range r.gauges {
			if points[g.instrument] == nil {
				order = append(order, g.instrument)
			}
			points[g.instrument] = append(points[g.instrument], metricdata.DataPoint[int64]{Attributes: g.labels, Time: now, Value: g.read()})
		}
	}
	for _, i := range order {
		metrics = append(metrics, i.of(metricdata.Gauge[int64]{DataPoints: points[i]}))
	}
	return metrics
}

func (i instrument) of(data metricdata.Aggregation) metricdata.Metrics {
	return metricdata.Metrics{Name: i.name, Description: i.help, Unit: i.unit, Data: data}
}
