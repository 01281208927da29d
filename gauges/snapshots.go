package gauges

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/observatory-go/observatory/collector"
)

// Snapshots is where the exports get their snapshot: a [collector.Collector],
// or a [Lazy] that builds one at its first use.
type Snapshots interface {
	// Snapshot returns a snapshot before ctx ends.
	Snapshot(ctx context.Context) (*collector.Snapshot, error)
}

// snapshot takes a snapshot. An error becomes a failed source named "collector".
func snapshot(ctx context.Context, from Snapshots) *collector.Snapshot {
	started := time.Now()
	s, err := from.Snapshot(ctx)
	if err == nil {
		return s
	}
	return &collector.Snapshot{Taken: started, Parts: []collector.Part{
		{Source: "collector", Duration: time.Since(started), Err: err},
	}}
}

// Lazy registers the infrastructure at the first scrape or export: it builds the
// collector at the first Snapshot, which already carries its values, and tries
// again at the next one after a failure. Its methods may be called side by side.
type Lazy struct {
	open   func(context.Context) (*collector.Collector, error)
	logger *slog.Logger

	lock      chan struct{} // a lock of one token for the fields below, so that waiting ends with a context
	collector *collector.Collector
	closed    bool
	logged    string // the failure that was logged last; empty once it is built
}

// NewLazy returns a Lazy that builds its collector with open, which must return
// when its context ends. The logger's default is slog.Default().
func NewLazy(open func(context.Context) (*collector.Collector, error), logger *slog.Logger) *Lazy {
	return &Lazy{open: open, logger: component(logger), lock: make(chan struct{}, 1)}
}

// Snapshot builds the collector if there is none yet, and takes its snapshot.
// The error is that of building it, or collector.ErrClosed.
func (l *Lazy) Snapshot(ctx context.Context) (*collector.Snapshot, error) {
	c, err := l.register(ctx)
	if err != nil {
		return nil, err
	}
	return c.Snapshot(ctx)
}

func (l *Lazy) register(ctx context.Context) (*collector.Collector, error) {
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	defer l.release()
	switch {
	case l.closed:
		return nil, collector.ErrClosed
	case l.collector != nil:
		return l.collector, nil
	}
	c, err := l.open(ctx)
	if err != nil {
		l.logFailure(err)
		return nil, fmt.Errorf("register the infrastructure gauges: %w", err)
	}
	if l.logged != "" {
		l.logger.Info("infrastructure gauges registered after all")
	}
	l.collector = c
	return c, nil
}

// logFailure logs a failure, once as long as it stays the same.
func (l *Lazy) logFailure(err error) {
	if err.Error() == l.logged {
		return
	}
	l.logged = err.Error()
	l.logger.Warn("infrastructure gauges could not be registered; the next scrape tries again", "error", err)
}

// Close closes the collector if it was built, within ctx. Harmless when
// repeated.
func (l *Lazy) Close(ctx context.Context) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	l.closed = true
	if l.collector == nil {
		return nil
	}
	return l.collector.Close(ctx)
}

func (l *Lazy) acquire(ctx context.Context) error {
	select {
	case l.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("the infrastructure gauges are still being registered"), context.Cause(ctx))
	}
}

func (l *Lazy) release() { <-l.lock }
