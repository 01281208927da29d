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

// counts turns what producers count into metric families, which it keeps for the
// next scrape: a process of a thousand subscriptions has sixty thousand lines,
// and making their labels anew is most of what an exporter spends on them. It
// keeps two sets, as the [Gatherer] does.
type counts struct {
	producers []sdkmetric.Producer
	logger    *slog.Logger
	free      chan *countFamilies
}

func newCounts(producers []sdkmetric.Producer, logger *slog.Logger) *counts {
	return &counts{producers: producers, logger: logger, free: make(chan *countFamilies, 2)}
}

// Gather implements [prometheus.TransactionalGatherer].
func (c *counts) Gather() ([]*dto.MetricFamily, func(), error) {
	families, done := c.collect()
	protos := make([]*dto.MetricFamily, len(families))
	for i, f := range families {
		protos[i] = &f.proto
	}
	return protos, done, nil
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
	for _, p := range c.producers {
		scopes, err := p.Produce(context.Background())
		if err != nil {
			c.logger.Warn("a producer of metrics failed", "error", err)
		}
		for _, scope := range scopes {
			for i := range scope.Metrics {
				if f := set.fill(&scope.Metrics[i]); f != nil {
					families = append(families, f)
				}
			}
		}
	}
	slices.SortFunc(families, func(a, b *countFamily) int { return strings.Compare(a.proto.GetName(), b.proto.GetName()) })
	return families, func() {
		select {
		case c.free <- set:
		default:
		}
	}
}

// countFamilies is one set of kept families, by OpenTelemetry name.
type countFamilies struct{ byName map[string]*countFamily }

// fill reads a metric into its kept family; nil where it has no points, or is of
// a kind that no producer of ours has.
func (s *countFamilies) fill(m *metricdata.Metrics) *countFamily {
	f := s.byName[m.Name]
	if f == nil {
		f = newCountFamily(m)
		s.byName[m.Name] = f
	}
	f.proto.Metric = f.proto.Metric[:0]
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
			f.next(&p.Attributes).histogram(p)
		}
	}
	if len(f.proto.Metric) == 0 {
		return nil
	}
	return f
}

func fillPoints[N int64 | float64](f *countFamily, points []metricdata.DataPoint[N]) {
	for i := range points {
		f.next(&points[i].Attributes).value = float64(points[i].Value)
	}
}

// countFamily is one metric family, and the series that it ever needed at once.
type countFamily struct {
	proto dto.MetricFamily
	kept  []*countSeries
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
	help := m.Description
	return &countFamily{proto: dto.MetricFamily{Name: &name, Help: &help, Type: kind.Enum()}}
}

// next is the series for the next point. Points come in the same order each time
// as a rule, so that its labels are there already.
func (f *countFamily) next(labels *attribute.Set) *countSeries {
	n := len(f.proto.Metric)
	if n == len(f.kept) {
		f.kept = append(f.kept, newCountSeries(f.proto.GetType()))
	}
	s := f.kept[n]
	s.label(labels)
	f.proto.Metric = append(f.proto.Metric, &s.proto)
	return s
}

// countSeries is one series; proto points at the other fields.
type countSeries struct {
	proto  dto.Metric
	labels attribute.Set
	text   string // the labels as they stand between the braces
	value  float64

	count   uint64 // of a histogram
	sum     float64
	buckets []dto.Bucket
	ends    []float64
	totals  []uint64
}

func newCountSeries(kind dto.MetricType) *countSeries {
	s := &countSeries{}
	switch kind {
	case dto.MetricType_COUNTER:
		s.proto.Counter = &dto.Counter{Value: &s.value}
	case dto.MetricType_HISTOGRAM:
		s.proto.Histogram = &dto.Histogram{SampleCount: &s.count, SampleSum: &s.sum}
	default:
		s.proto.Gauge = &dto.Gauge{Value: &s.value}
	}
	return s
}

func (s *countSeries) label(labels *attribute.Set) {
	if s.proto.Label != nil && s.labels.Equals(labels) {
		return
	}
	s.labels = *labels
	s.proto.Label = make([]*dto.LabelPair, 0, labels.Len())
	namer := otlptranslator.LabelNamer{}
	for _, kv := range labels.ToSlice() {
		name, err := namer.Build(string(kv.Key))
		if err != nil {
			continue
		}
		value := strings.ToValidUTF8(kv.Value.String(), "\uFFFD")
		s.proto.Label = append(s.proto.Label, &dto.LabelPair{Name: &name, Value: &value})
	}
	s.text = labelText(s.proto.Label)
}

func (s *countSeries) histogram(p *metricdata.HistogramDataPoint[float64]) {
	if len(s.ends) != len(p.BucketCounts) {
		s.keep(p.Bounds)
	}
	s.count, s.sum = p.Count, p.Sum
	total := uint64(0)
	for i, n := range p.BucketCounts {
		total += n
		s.totals[i] = total
		s.buckets[i].Exemplar = nil
	}
	for i := range p.Exemplars {
		e := &p.Exemplars[i]
		bucket, _ := slices.BinarySearch(p.Bounds, e.Value)
		s.buckets[bucket].Exemplar = exemplar(e)
	}
}

// keep makes the buckets, once, the last without bound.
func (s *countSeries) keep(bounds []float64) {
	s.ends = append(slices.Clone(bounds), math.Inf(1))
	s.totals = make([]uint64, len(s.ends))
	s.buckets = make([]dto.Bucket, len(s.ends))
	s.proto.Histogram.Bucket = make([]*dto.Bucket, len(s.ends))
	for i := range s.ends {
		s.buckets[i].UpperBound, s.buckets[i].CumulativeCount = &s.ends[i], &s.totals[i]
		s.proto.Histogram.Bucket[i] = &s.buckets[i]
	}
}

// exemplar names the trace as OpenMetrics does.
func exemplar(e *metricdata.Exemplar[float64]) *dto.Exemplar {
	label := func(name string, id []byte) *dto.LabelPair {
		value := hex.EncodeToString(id)
		return &dto.LabelPair{Name: &name, Value: &value}
	}
	return &dto.Exemplar{
		Value: &e.Value, Timestamp: timestamppb.New(e.Time),
		Label: []*dto.LabelPair{label(otlptranslator.ExemplarTraceIDKey, e.TraceID), label(otlptranslator.ExemplarSpanIDKey, e.SpanID)},
	}
}
