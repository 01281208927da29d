package gauges

import (
	"cmp"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/observatory-go/observatory/collector"
)

// Gatherer turns snapshots into metric families. It keeps what it filled for
// the next scrape, in two sets, since one is given back only when its text went
// over the network; a third scrape at the same time gets a set of its own.
type Gatherer struct {
	table   []Gauge
	repeats *repeats
	free    chan *families
}

// NewGatherer returns a Gatherer of the Table. The logger (default
// slog.Default()) gets a line where two samples have the same labels.
func NewGatherer(logger *slog.Logger) *Gatherer {
	return &Gatherer{
		table:   Table(),
		repeats: &repeats{logger: component(logger)},
		free:    make(chan *families, 2),
	}
}

func component(logger *slog.Logger) *slog.Logger {
	return cmp.Or(logger, slog.Default()).With("component", "gauges")
}

// Of returns a gatherer of the snapshot's samples, to be gathered once. The
// families are its caller's until done is called. It returns no error.
func (g *Gatherer) Of(s *collector.Snapshot) prometheus.TransactionalGatherer {
	return gathering{g, s}
}

type gathering struct {
	*Gatherer
	snapshot *collector.Snapshot
}

func (g gathering) Gather() (out []*dto.MetricFamily, done func(), err error) {
	set := g.take()
	return set.fill(g.snapshot), func() { g.give(set) }, nil
}

func (g *Gatherer) take() *families {
	select {
	case set := <-g.free:
		return set
	default:
		return newFamilies(g.table, g.repeats)
	}
}

func (g *Gatherer) give(set *families) {
	select {
	case g.free <- set:
	default:
	}
}
