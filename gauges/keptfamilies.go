package gauges

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/observatory-go/observatory/collector"
)

// families is one set of kept families, a family for each gauge.
type families struct {
	reader *reader
	list   []*family
	out    []*dto.MetricFamily
}

func newFamilies(table []Gauge, repeats *repeats) *families {
	f := &families{reader: newReader(repeats), list: make([]*family, len(table))}
	for i := range table {
		f.list[i] = newFamily(&table[i])
	}
	return f
}

// fill reads the snapshot into the kept families and returns those that have
// samples.
func (f *families) fill(s *collector.Snapshot) []*dto.MetricFamily {
	f.out = f.out[:0]
	for _, family := range f.list {
		family.proto.Metric = family.proto.Metric[:0]
		f.reader.read(family.gauge, s, family.add)
		if len(family.proto.Metric) > 0 {
			f.out = append(f.out, &family.proto)
		}
	}
	return f.out
}

// family is one metric family, and the series that it ever needed at once.
type family struct {
	gauge *Gauge
	proto dto.MetricFamily
	kept  []*series
}

func newFamily(g *Gauge) *family {
	f := &family{gauge: g}
	f.proto.Name, f.proto.Help = &g.Exposed, &g.Help
	f.proto.Type = dto.MetricType_GAUGE.Enum()
	if g.Counter {
		f.proto.Type = dto.MetricType_COUNTER.Enum()
	}
	return f
}

// add is the family's Emit.
func (f *family) add(value float64, labels ...string) {
	n := len(f.proto.Metric)
	if n == len(f.kept) {
		f.kept = append(f.kept, newSeries(f.gauge))
	}
	s := f.kept[n]
	s.value = value
	copy(s.labels, labels)
	f.proto.Metric = append(f.proto.Metric, &s.proto)
}

// series is one sample; proto points at the other fields.
type series struct {
	proto   dto.Metric
	gauge   dto.Gauge
	counter dto.Counter
	value   float64
	labels  []string
}

func newSeries(g *Gauge) *series {
	s := &series{labels: make([]string, len(g.Labels))}
	pairs := make([]dto.LabelPair, len(g.Labels))
	s.proto.Label = make([]*dto.LabelPair, len(g.Labels))
	for i := range pairs {
		pairs[i].Name, pairs[i].Value = &g.Labels[i], &s.labels[i]
		s.proto.Label[i] = &pairs[i]
	}
	if g.Counter {
		s.counter.Value = &s.value
		s.proto.Counter = &s.counter
	} else {
		s.gauge.Value = &s.value
		s.proto.Gauge = &s.gauge
	}
	return s
}
