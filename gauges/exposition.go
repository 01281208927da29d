package gauges

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/observatory-go/observatory/collector"
)

// expositions fill what scrapes show of the table and of producers. The series'
// labels are kept as text for the next scrape: a process of a thousand
// subscriptions has sixty thousand lines, and making their labels anew is most of
// what an exporter spends on them. Two are kept, since one is given back only when
// its text went over the network; a third scrape at the same time gets one of its
// own.
type expositions struct {
	table     []Gauge
	producers []sdkmetric.Producer
	logger    *slog.Logger
	repeats   *repeats
	free      chan *exposition
}

func newExpositions(table []Gauge, producers []sdkmetric.Producer, logger *slog.Logger) *expositions {
	logger = component(logger)
	return &expositions{
		table: table, producers: producers, logger: logger, repeats: &repeats{logger: logger}, free: make(chan *exposition, 2),
	}
}

func component(logger *slog.Logger) *slog.Logger {
	return cmp.Or(logger, slog.Default()).With("component", "gauges")
}

// of fills an exposition from a snapshot and the producers. It is the caller's
// until it is given back. What a producer cannot tell is logged and missing.
func (x *expositions) of(s *collector.Snapshot) *exposition {
	var e *exposition
	select {
	case e = <-x.free:
	default:
		e = newExposition(x.table, x.repeats)
	}
	for i, f := range e.rows {
		f.used = 0
		g := &x.table[i]
		e.reader.read(g, s, func(value float64, labels ...string) {
			series := f.next()
			if series.value = value; !series.labels.areOf(labels) {
				series.labels = e.labelings.of(g.Labels, labels)
			}
		})
	}
	for _, f := range e.counted {
		f.used = 0
	}
	for _, p := range x.producers {
		scopes, err := p.Produce(context.Background())
		if err != nil {
			x.logger.Warn("a producer of metrics failed", "error", err)
		}
		for _, scope := range scopes {
			for i := range scope.Metrics {
				e.add(&scope.Metrics[i])
			}
		}
	}
	e.labelings.forget(e.filled())
	return e
}

// giveBack ends the use of an exposition.
func (x *expositions) giveBack(e *exposition) {
	select {
	case x.free <- e:
	default:
	}
}

// exposition is what one scrape shows of the table and of producers.
type exposition struct {
	reader    *reader
	labelings *labelings
	rows      []*family          // one a row of the table
	counted   map[string]*family // by OpenTelemetry name
}

func newExposition(table []Gauge, repeats *repeats) *exposition {
	e := &exposition{
		reader: newReader(repeats), labelings: newLabelings(),
		rows: make([]*family, len(table)), counted: make(map[string]*family),
	}
	for i := range table {
		e.rows[i] = newGaugeFamily(&table[i])
	}
	return e
}

// add reads what a producer counts. Of a kind that no producer of ours has it reads
// nothing.
func (e *exposition) add(m *metricdata.Metrics) {
	f := e.counted[m.Name]
	if f == nil {
		f = newCountedFamily(m)
		e.counted[m.Name] = f
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		addPoints(e, f, data.DataPoints)
	case metricdata.Sum[float64]:
		addPoints(e, f, data.DataPoints)
	case metricdata.Gauge[int64]:
		addPoints(e, f, data.DataPoints)
	case metricdata.Gauge[float64]:
		addPoints(e, f, data.DataPoints)
	case metricdata.Histogram[float64]:
		for i := range data.DataPoints {
			p := &data.DataPoints[i]
			f.bounds = p.Bounds
			s := e.next(f, &p.Attributes)
			if s.buckets == nil {
				s.buckets = &buckets{}
			}
			s.buckets.fill(p)
		}
	}
}

// next is a family's series for a producer's point.
func (e *exposition) next(f *family, set *attribute.Set) *series {
	s := f.next()
	if !s.labels.areOfSet(set) {
		s.labels = e.labelings.ofSet(set)
	}
	return s
}

func addPoints[N int64 | float64](e *exposition, f *family, points []metricdata.DataPoint[N]) {
	for i := range points {
		e.next(f, &points[i].Attributes).value = float64(points[i].Value)
	}
}

// filled is how many series there are.
func (e *exposition) filled() (n int) {
	for _, f := range e.rows {
		n += f.used
	}
	for _, f := range e.counted {
		n += f.used
	}
	return n
}

// families are those that have series, by name.
func (e *exposition) families() []*family {
	var all []*family
	for _, f := range e.rows {
		if f.used > 0 {
			all = append(all, f)
		}
	}
	for _, f := range e.counted {
		if f.used > 0 {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *family) int { return strings.Compare(a.name, b.name) })
	return all
}

// Gather implements [prometheus.TransactionalGatherer], for the formats that are
// not text: its families are made anew.
func (e *exposition) Gather() ([]*dto.MetricFamily, func(), error) {
	families := e.families()
	protos := make([]*dto.MetricFamily, len(families))
	for i, f := range families {
		protos[i] = f.proto(e.labelings)
	}
	return protos, func() {}, nil
}
