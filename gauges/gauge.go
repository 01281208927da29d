package gauges

import "github.com/observatory-go/observatory/collector"

// Gauge is one row of the table: a metric, and how it is read from a snapshot.
type Gauge struct {
	// Name is the OpenTelemetry name, Exposed what becomes of it, with Unit, in
	// Prometheus' text.
	Name, Exposed string
	// Unit is a UCUM unit or an annotation in braces; empty for plain counts.
	Unit string
	// Counter says that the figure only grows, but for a restart of what it
	// counts.
	Counter bool
	// Help is what Prometheus shows. It ends with whose figure it is: a fact
	// about the shared servers, the same from every replica, or this process'.
	Help string
	// Shared is true for the first of these.
	Shared bool
	// Labels are the labels' names, sorted.
	Labels []string
	// Read emits the snapshot's samples. A figure that is unknown has none.
	Read func(*collector.Snapshot, Emit)
}

// Emit takes one sample, its labels' values in the order of Labels. It does not
// keep the slice.
type Emit func(value float64, labels ...string)

// What the help of each gauge ends with.
const (
	sharedFigure = " Shared figure: every replica reports the same, so take max without (instance, pod), never sum."
	ownFigure    = " This process' own figure: sum over instances."
	ownView      = " As this process sees it: keep instances apart."
)

func (g Gauge) shared() Gauge {
	g.Shared = true
	g.Help += sharedFigure
	return g
}

func (g Gauge) own() Gauge {
	g.Help += ownFigure
	return g
}

func (g Gauge) seen() Gauge {
	g.Help += ownView
	return g
}

// of names the labels and the reader.
func (g Gauge) of(labels []string, read func(*collector.Snapshot, Emit)) Gauge {
	g.Labels, g.Read = labels, read
	return g
}

// counted makes it a counter.
func (g Gauge) counted() Gauge {
	g.Counter = true
	return g
}
