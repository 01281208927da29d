package gauges

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// counters are what producers count, and the rest.
type counters struct {
	engine *counts
	rest   prometheus.TransactionalGatherer
}

// Gather implements [prometheus.TransactionalGatherer].
func (c counters) Gather() ([]*dto.MetricFamily, func(), error) {
	return prometheus.NewMultiTRegistry(c.rest, c.engine).Gather()
}

// counts turns what producers count into families of series, whose labels it keeps
// as text for the next scrape: a process of a thousand subscriptions has sixty
// thousand lines, and making their labels anew is most of what an exporter spends
// on them. It keeps two sets, as the [Gatherer] does.
type counts struct {
	producers []sdkmetric.Producer
	logger    *slog.Logger
	free      chan *countFamilies
}

func newCounts(producers []sdkmetric.Producer, logger *slog.Logger) *counts {
	return &counts{producers: producers, logger: logger, free: make(chan *countFamilies, 2)}
}

// Gather implements [prometheus.TransactionalGatherer], for the formats that are
// not text: its families are made anew.
func (c *counts) Gather() ([]*dto.MetricFamily, func(), error) {
	families, done := c.collect()
	defer done()
	protos := make([]*dto.MetricFamily, len(families))
	for i, f := range families {
		protos[i] = f.proto()
	}
	return protos, func() {}, nil
}

// collect asks the producers. The families are the caller's until done. What one
// producer cannot tell is logged and missing.
func (c *counts) collect() (families []*countFamily, done func()) {
	var set *countFamilies
	select {
	case set = <-c.free:
	default:
		set = &countFamilies{byName: make(map[string]*countFamily)}
	}
	for _, f := range set.byName {
		f.used = 0
	}
	for _, p := range c.producers {
		scopes, err := p.Produce(context.Background())
		if err != nil {
			c.logger.Warn("a producer of metrics failed", "error", err)
		}
		for _, scope := range scopes {
			for i := range scope.Metrics {
				set.fill(&scope.Metrics[i])
			}
		}
	}
	for _, f := range set.byName {
		if f.used > 0 {
			families = append(families, f)
		}
	}
	slices.SortFunc(families, func(a, b *countFamily) int { return strings.Compare(a.name, b.name) })
	return families, func() {
		select {
		case c.free <- set:
		default:
		}
	}
}

// countFamilies is one set of kept families, by OpenTelemetry name.
type countFamilies struct{ byName map[string]*countFamily }

// fill reads a metric into its kept family. Of a kind that no producer of ours has
// it reads nothing.
func (s *countFamilies) fill(m *metricdata.Metrics) {
	f := s.byName[m.Name]
	if f == nil {
		f = newCountFamily(m)
		s.byName[m.Name] = f
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		fillPoints(f, data.DataPoints)
	case metricdata.Sum[float64]:
		fillPoints(f, data.DataPoints)
	case metricdata.Gauge[int64]:
		fillPoints(f, data.DataPoints)
	case metricdata.Gauge[float64]:
		fillPoints(f, data.DataPoints)
	case metricdata.Histogram[float64]:
		for i := range data.DataPoints {
			p := &data.DataPoints[i]
			f.bounds = p.Bounds
			f.next(&p.Attributes).fill(p)
		}
	}
}

func fillPoints[N int64 | float64](f *countFamily, points []metricdata.DataPoint[N]) {
	for i := range points {
		f.next(&points[i].Attributes).value = float64(points[i].Value)
	}
}

// countFamily is one metric family, and the series that it ever needed at once.
type countFamily struct {
	name, help string
	kind       dto.MetricType
	bounds     []float64 // of a histogram's buckets but the last
	kept       []*countSeries
	used       int // how many of them this scrape has
}

func newCountFamily(m *metricdata.Metrics) *countFamily {
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
	return &countFamily{name: name, help: m.Description, kind: kind}
}

// next is the series for the next point. Points come in the same order each time
// as a rule, so that its labels are there already.
func (f *countFamily) next(labels *attribute.Set) *countSeries {
	if f.used == len(f.kept) {
		f.kept = append(f.kept, &countSeries{})
	}
	s := f.kept[f.used]
	f.used++
	if !s.labelled || !s.labels.Equals(labels) {
		s.labels, s.labelled = *labels, true
		s.text = labelText(labelPairs(labels))
	}
	return s
}

// proto is the family as the library has it.
func (f *countFamily) proto() *dto.MetricFamily {
	out := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: f.kind.Enum()}
	for _, s := range f.kept[:f.used] {
		m := &dto.Metric{Label: labelPairs(&s.labels)}
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

// countSeries is one series.
type countSeries struct {
	labels   attribute.Set
	labelled bool
	text     string // the labels as they stand between the braces
	value    float64

	// Of a histogram.

	count     uint64
	sum       float64
	totals    []uint64                       // up to each bucket's bound
	exemplars []metricdata.Exemplar[float64] // one a bucket, or none at all
}

// fill reads a point of a histogram.
func (s *countSeries) fill(p *metricdata.HistogramDataPoint[float64]) {
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
func (s *countSeries) exemplar(bucket int) *metricdata.Exemplar[float64] {
	if s.exemplars == nil || s.exemplars[bucket].TraceID == nil {
		return nil
	}
	return &s.exemplars[bucket]
}

func (s *countSeries) histogram(bounds []float64) *dto.Histogram {
	count, sum := s.count, s.sum
	h := &dto.Histogram{SampleCount: &count, SampleSum: &sum}
	for i, total := range s.totals {
		end := math.Inf(1)
		if i < len(bounds) {
			end = bounds[i]
		}
		b := &dto.Bucket{UpperBound: &end, CumulativeCount: &total}
		if e := s.exemplar(i); e != nil {
			value := e.Value
			b.Exemplar = &dto.Exemplar{Value: &value, Timestamp: timestamppb.New(e.Time), Label: exemplarLabels(e)}
		}
		h.Bucket = append(h.Bucket, b)
	}
	return h
}

func labelPairs(labels *attribute.Set) []*dto.LabelPair {
	pairs := make([]*dto.LabelPair, 0, labels.Len())
	namer := otlptranslator.LabelNamer{}
	for _, kv := range labels.ToSlice() {
		name, err := namer.Build(string(kv.Key))
		if err != nil {
			continue
		}
		value := strings.ToValidUTF8(kv.Value.String(), "\uFFFD")
		pairs = append(pairs, &dto.LabelPair{Name: &name, Value: &value})
	}
	return pairs
}

// exemplarLabels name the trace as OpenMetrics does.
func exemplarLabels(e *metricdata.Exemplar[float64]) []*dto.LabelPair {
	label := func(name string, id []byte) *dto.LabelPair {
		value := hex.EncodeToString(id)
		return &dto.LabelPair{Name: &name, Value: &value}
	}
	return []*dto.LabelPair{label(otlptranslator.ExemplarTraceIDKey, e.TraceID), label(otlptranslator.ExemplarSpanIDKey, e.SpanID)}
}
