package gauges

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// family is one metric family, and the series that it ever needed at once.
type family struct {
	name, help string
	kind       dto.MetricType
	bounds     []float64 // of a histogram's buckets but the last
	kept       []*series
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
// as a rule, so that its labels are there already.
func (f *family) next() *series {
	if f.used == len(f.kept) {
		f.kept = append(f.kept, &series{})
	}
	f.used++
	return f.kept[f.used-1]
}

// proto is the family as the library has it.
func (f *family) proto() *dto.MetricFamily {
	out := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: f.kind.Enum()}
	for _, s := range f.kept[:f.used] {
		m := &dto.Metric{Label: labelPairs(s.labels)}
		value := s.value
		switch f.kind {
		case dto.MetricType_COUNTER:
			m.Counter = &dto.Counter{Value: &value}
		case dto.MetricType_HISTOGRAM:
			m.Histogram = s.histogram(f.bounds)
		default:
			m.Gauge = &dto.Gauge{Value: &value}
		}
		out.Metric = append(out.Metric, m)
	}
	return out
}

// series is one series of a family.
type series struct {
	labels []label
	set    attribute.Set // that the labels were made of, where a producer counts
	text   string        // the labels as they stand between the braces
	value  float64

	// Of a histogram.

	count     uint64
	sum       float64
	totals    []uint64                       // up to each bucket's bound
	exemplars []metricdata.Exemplar[float64] // one a bucket, or none at all
}

type label struct{ name, value string }

// name gives the series the labels of a row.
func (s *series) name(names, values []string) {
	same := s.labels != nil && len(s.labels) == len(values)
	for i := 0; same && i < len(values); i++ {
		same = s.labels[i].value == values[i]
	}
	if same {
		return
	}
	s.labels = make([]label, len(values))
	for i, value := range values {
		s.labels[i] = label{names[i], value}
	}
	s.text = labelText(s.labels)
}

// nameBy gives the series the labels of a producer's point.
func (s *series) nameBy(set *attribute.Set) {
	if s.labels != nil && s.set.Equals(set) {
		return
	}
	s.set, s.labels = *set, make([]label, 0, set.Len())
	namer := otlptranslator.LabelNamer{}
	for _, kv := range set.ToSlice() {
		if name, err := namer.Build(string(kv.Key)); err == nil {
			s.labels = append(s.labels, label{name, strings.ToValidUTF8(kv.Value.String(), "\uFFFD")})
		}
	}
	s.text = labelText(s.labels)
}

// fill reads a point of a histogram.
func (s *series) fill(p *metricdata.HistogramDataPoint[float64]) {
	if len(s.totals) != len(p.BucketCounts) {
		s.totals = make([]uint64, len(p.BucketCounts))
	}
	s.count, s.sum = p.Count, p.Sum
	total := uint64(0)
	for i, n := range p.BucketCounts {
		total += n
		s.totals[i] = total
	}
	if s.exemplars = nil; len(p.Exemplars) == 0 {
		return
	}
	s.exemplars = make([]metricdata.Exemplar[float64], len(s.totals))
	for _, e := range p.Exemplars {
		bucket, _ := slices.BinarySearch(p.Bounds, e.Value)
		s.exemplars[bucket] = e
	}
}

// exemplar is that of a bucket; nil where it has none.
func (s *series) exemplar(bucket int) *metricdata.Exemplar[float64] {
	if s.exemplars == nil || s.exemplars[bucket].TraceID == nil {
		return nil
	}
	return &s.exemplars[bucket]
}

func (s *series) histogram(bounds []float64) *dto.Histogram {
	count, sum := s.count, s.sum
	h := &dto.Histogram{SampleCount: &count, SampleSum: &sum}
	for i, total := range s.totals {
		end := boundOf(bounds, i)
		b := &dto.Bucket{UpperBound: &end, CumulativeCount: &total}
		if e := s.exemplar(i); e != nil {
			value := e.Value
			b.Exemplar = &dto.Exemplar{Value: &value, Timestamp: timestamppb.New(e.Time), Label: labelPairs(exemplarLabels(e))}
		}
		h.Bucket = append(h.Bucket, b)
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

func labelPairs(labels []label) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, len(labels))
	for i, l := range labels {
		pairs[i] = &dto.LabelPair{Name: &l.name, Value: &l.value}
	}
	return pairs
}

// exemplarLabels name the trace as OpenMetrics does.
func exemplarLabels(e *metricdata.Exemplar[float64]) []label {
	return []label{
		{otlptranslator.ExemplarTraceIDKey, hex.EncodeToString(e.TraceID)},
		{otlptranslator.ExemplarSpanIDKey, hex.EncodeToString(e.SpanID)},
	}
}
