package gauges

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/observatory-go/observatory/collector"
)

// Gatherer gathers the table, as a scrape by protobuf does.
type Gatherer struct{ *expositions }

// NewGatherer returns one.
func NewGatherer(logger *slog.Logger) Gatherer { return Gatherer{newExpositions(Table(), nil, logger)} }

// Of returns a gatherer of the snapshot's samples; done gives them back.
func (g Gatherer) Of(s *collector.Snapshot) prometheus.TransactionalGatherer { return gathering{g, s} }

type gathering struct {
	Gatherer
	snapshot *collector.Snapshot
}

func (g gathering) Gather() ([]*dto.MetricFamily, func(), error) {
	e := g.of(g.snapshot)
	families, _, err := e.Gather()
	return families, func() { g.giveBack(e) }, err
}
