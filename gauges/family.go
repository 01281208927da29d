package gauges

import (
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// family is one metric family, and the series that it ever needed at once.
type family struct {
	name, help string
	kind       dto.MetricType
	bounds     []float64 // of a histogram's buckets but the last
	kept       []series
	used       int // how many of them this scrape has
}

// newGaugeFamily is the family of a row of the table.
func newGaugeFamily(g *Gauge) *family {
	f := &family{name: g.Exposed, help: g.Help, kind: dto.MetricType_GAUGE}
	if g.Counter {
		f.kind = dto.MetricType_COUNTER
	}
	return f
}

// newCountedFamily is the family of what a producer counts.
func newCountedFamily(m *metricdata.Metrics) *family {
	kind, metricType := dto.MetricType_GAUGE, otlptranslator.MetricType(otlptranslator.MetricTypeGauge)
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		if data.IsMonotonic {
			kind, metricType = dto.MetricType_COUNTER, otlptranslator.MetricTypeMonotonicCounter
		}
	case metricdata.Sum[float64]:
		if data.IsMonotonic {
			kind, metricType = dto.MetricType_COUNTER, otlptranslator.MetricTypeMonotonicCounter
		}
	case metricdata.Histogram[float64]:
		kind, metricType = dto.MetricType_HISTOGRAM, otlptranslator.MetricTypeHistogram
	}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	name, err := namer.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: metricType})
	if err != nil {
		name = strings.ReplaceAll(m.Name, ".", "_")
	}
	return &family{name: name, help: m.Description, kind: kind}
}

// next is the series for the next sample. Samples come in the same order each time
// as a rule, so that its labels are there already. It is valid until the next one
// is asked for.
func (f *family) next() *series {
	if f.used == len(f.kept) {
		f.kept = append(f.kept, series{})
	}
	f.used++
	return &f.kept[f.used-1]
}

// proto is the family as the library has it.
func (f *family) proto(labelings *labelings) *dto.MetricFamily {
	out := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: f.kind.Enum()}
	for i := range f.used {
		s := &f.kept[i]
		m := &dto.Metric{Label: labelings.pairs(s.labels)}
		value := s.value
		switch f.kind {
		case dto.MetricType_COUNTER:
			m.Counter = &dto.Counter{Value: &value}
		case dto.MetricType_HISTOGRAM:
			m.Histogram = s.buckets.proto(f.bounds)
		default:
			m.Gauge = &dto.Gauge{Value: &value}
		}
		out.Metric = append(out.Metric, m)
	}
	return out
}

// series is one series of a family. A process of a thousand subscriptions keeps
// twenty thousand.
type series struct {
	labels  *labels
	value   float64
	buckets *buckets // of a histogram
}

// buckets are the value of a histogram's series.
type buckets struct {
	count     uint64
	sum       float64
	totals    []uint64                       // up to each bucket's bound
	exemplars []metricdata.Exemplar[float64] // one a bucket, or none at all
}

// fill reads a point of a histogram.
func (b *buckets) fill(p *metricdata.HistogramDataPoint[float64]) {
	if len(b.totals) != len(p.BucketCounts) {
		b.totals = make([]uint64, len(p.BucketCounts))
	}
	b.count, b.sum = p.Count, p.Sum
	total := uint64(0)
	for i, n := range p.BucketCounts {
		total += n
		b.totals[i] = total
	}
	if b.exemplars = nil; len(p.Exemplars) == 0 {
		return
	}
	b.exemplars = make([]metricdata.Exemplar[float64], len(b.totals))
	for _, e := range p.Exemplars {
		bucket, _ := slices.BinarySearch(p.Bounds, e.Value)
		b.exemplars[bucket] = e
	}
}

// exemplar is that of a bucket; nil where it has none.
func (b *buckets) exemplar(bucket int) *metricdata.Exemplar[float64] {
	if b.exemplars == nil || b.exemplars[bucket].TraceID == nil {
		return nil
	}
	return &b.exemplars[bucket]
}

func (b *buckets) proto(bounds []float64) *dto.Histogram {
	count, sum := b.count, b.sum
	h := &dto.Histogram{SampleCount: &count, SampleSum: &sum}
	for i, total := range b.totals {
		end := boundOf(bounds, i)
		bucket := &dto.Bucket{UpperBound: &end, CumulativeCount: &total}
		if e := b.exemplar(i); e != nil {
			value := e.Value
			bucket.Exemplar = &dto.Exemplar{Value: &value, Timestamp: timestamppb.New(e.Time), Label: labelPairs(exemplarLabels(e))}
		}
		h.Bucket = append(h.Bucket, bucket)
	}
	return h
}

// boundOf is the upper bound of a bucket; the last has none.
func boundOf(bounds []float64, bucket int) float64 {
	if bucket < len(bounds) {
		return bounds[bucket]
	}
	return math.Inf(1)
}
