// Package domain is the running container of a configuration: it opens the
// servers that a file describes with the adapters it is given, registers
// handlers, and says what an engine runs and what a collector reads.
package domain

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/observatory-go/observatory/engine"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/lifecycle"
	"github.com/observatory-go/observatory/engine/message"
)

// Domain is an open configuration: its servers, and the handlers registered.
// Register everything before Config and Sources are called; after that its
// methods may be called side by side.
type Domain struct {
	config    *config.Config
	log       *slog.Logger
	brokers   map[string]engine.Broker
	databases map[string]engine.Database
	store     engine.EventStore // nil without an adapter
	handlers  []handler.Registration
	leftOut   []*extensionsLeftOut // of each handler of the file
	warnings  []config.Warning
	alerts    map[string]deadletter.AlertFunc
	closers   lifecycle.Closers
}

// Broker returns an open broker by its name; nil if there is none.
func (d *Domain) Broker(name string) engine.Broker { return d.brokers[name] }

// Database returns an open database by its name; nil if there is none.
func (d *Domain) Database(name string) engine.Database { return d.databases[name] }

// EventStore returns the open event store; nil if there is none.
func (d *Domain) EventStore() engine.EventStore { return d.store }

// Warnings name the databases, brokers, caches and the event store of the file
// that this program has no adapter for: they are not opened, and readiness does
// not ask for them. They name the broker of the file's handlers where it is in
// memory, and those of these handlers that trim one stream to different lengths.
// Open has logged them.
func (d *Domain) Warnings() []config.Warning { return slices.Clone(d.warnings) }

// Close closes what Open opened: deliveries, then the event store, then brokers,
// then databases. It is bounded by ctx, tries everything, and does nothing when repeated.
func (d *Domain) Close(ctx context.Context) error { return d.closers.Close(ctx) }

// Name is the domain's name: `[observatory] name`, else what stands before `::`
// in most of its handlers' streams (those of the file, or else those of the
// program), else the name of the file's folder.
func (d *Domain) Name() string {
	if d.config.Name != "" {
		return d.config.Name
	}
	var file, program []string
	for _, h := range d.config.Handlers {
		file = append(file, h.Stream)
	}
	for _, r := range d.handlers {
		program = append(program, r.Streams...)
	}
	for _, streams := range [][]string{file, program} {
		if name := mostCommonDomain(streams); name != "" {
			return name
		}
	}
	path, err := filepath.Abs(d.config.Path)
	if err != nil || d.config.Path == "" {
		return "domain"
	}
	return filepath.Base(filepath.Dir(path))
}

// mostCommonDomain is the domain that most streams belong to, the first such
// where several have as many.
func mostCommonDomain(streams []string) string {
	count := map[string]int{}
	best := ""
	for _, stream := range streams {
		name := message.DomainOf(stream)
		if name == "" {
			continue
		}
		if count[name]++; best == "" || count[name] > count[best] {
			best = name
		}
	}
	return best
}
