package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// sharedCollection is one reading of all sources, which callers share. Its fields
// are guarded by the collector's lock until sealed is closed, and constant from
// then on.
type sharedCollection struct {
	started time.Time
	parts   []Part
	missing map[int]bool
	read    chan struct{} // closed when no part is missing
	cut     bool          // its deadline came before a source's answer

	sealed   chan struct{}
	snapshot *Snapshot
}

// start begins a collection under ctx's deadline. c.mu is held.
func (c *Collector) start(ctx context.Context) *sharedCollection {
	shared := newSharedCollection(c.config.Sources)
	end := shared.started.Add(c.config.Timeout)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	hard, cancel := context.WithDeadline(c.ctx, end)
	soft, cancelSoft := context.WithDeadline(hard, end.Add(-margin(time.Until(end))))
	for i := range c.config.Sources {
		c.launch(soft, shared, i)
	}
	c.spawn(func() {
		defer cancel()
		defer cancelSoft()
		select {
		case <-shared.read:
		case <-hard.Done():
		}
		c.seal(shared, context.Cause(hard))
	})
	return shared
}

func newSharedCollection(sources []Source) *sharedCollection {
	shared := &sharedCollection{
		started: time.Now(),
		parts:   make([]Part, len(sources)),
		missing: make(map[int]bool, len(sources)),
		read:    make(chan struct{}),
		sealed:  make(chan struct{}),
	}
	for i, source := range sources {
		shared.parts[i].Source = source.Name()
		shared.missing[i] = true
	}
	if len(sources) == 0 {
		close(shared.read)
	}
	return shared
}

// margin is the part of the callers' time that sources do not get, so that one
// which times out can still return what it has (a broker: not up).
func margin(d time.Duration) time.Duration {
	return min(max(d, 0)/10, 500*time.Millisecond)
}

// launch reads one source, unless an earlier collection still does. c.mu is held.
func (c *Collector) launch(ctx context.Context, shared *sharedCollection, i int) {
	if since := c.busy[i]; !since.IsZero() {
		shared.finish(i, Part{
			Err: fmt.Errorf("%w: still being read since %s", ErrUnfinished, since.UTC().Format(time.RFC3339)),
		})
		return
	}
	c.busy[i] = shared.started
	c.spawn(func() {
		part := c.collect(ctx, c.config.Sources[i])
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy[i] = time.Time{}
		c.history.judge(time.Now(), part.Subscriptions)
		shared.cut = shared.cut || shared.missing[i] && part.Err != nil && ctx.Err() != nil
		shared.finish(i, part)
	})
}

// collect reads a source; its panic is an error of its own.
func (c *Collector) collect(ctx context.Context, source Source) (part Part) {
	started := time.Now()
	defer func() {
		if r := recover(); r != nil {
			part.Err = fmt.Errorf("panic: %v", r)
			c.config.Logger.Error("a source panicked",
				"source", source.Name(), "panic", r, "stack", string(debug.Stack()))
		}
		part.Duration = time.Since(started)
	}()
	part.Figures, part.Err = source.Collect(ctx)
	return part
}

// finish stores a part, unless the collection was sealed without it.
func (shared *sharedCollection) finish(i int, part Part) {
	if !shared.missing[i] {
		return
	}
	part.Source = shared.parts[i].Source
	shared.parts[i] = part
	delete(shared.missing, i)
	if len(shared.missing) == 0 {
		close(shared.read)
	}
}

// seal ends a collection: what is missing failed for the given reason, and the
// snapshot is kept for MaxAge unless the collection was cut short.
func (c *Collector) seal(shared *sharedCollection, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared.cut = shared.cut || len(shared.missing) > 0
	shared.snapshot = shared.soFar(reason)
	clear(shared.missing)
	c.current = nil
	if !shared.cut {
		c.last = shared.snapshot
	}
	c.report(shared.snapshot)
	close(shared.sealed)
}

// soFar is the snapshot of what was read; parts that are missing carry the reason.
func (shared *sharedCollection) soFar(reason error) *Snapshot {
	parts := slices.Clone(shared.parts)
	for i := range shared.missing {
		parts[i].Err = fmt.Errorf("%w: %w", ErrUnfinished, reason)
		parts[i].Duration = time.Since(shared.started)
	}
	return &Snapshot{Taken: time.Now(), Parts: parts}
}

// atDeadline is the snapshot for a caller whose time is over.
func (c *Collector) atDeadline(ctx context.Context, shared *sharedCollection) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared.snapshot != nil {
		return shared.snapshot
	}
	return shared.soFar(context.Cause(ctx))
}

// report logs each source whose state changed. c.mu is held.
func (c *Collector) report(s *Snapshot) {
	for i, part := range s.Parts {
		failed := part.Err != nil
		switch {
		case failed == c.failing[i]:
			continue
		case failed:
			c.config.Logger.Warn("a source could not be read whole", "source", part.Source, "error", part.Err)
		default:
			c.config.Logger.Info("a source is read whole again", "source", part.Source)
		}
		c.failing[i] = failed
	}
}

// stuck names the sources that did not return after their context ended.
func (c *Collector) stuck(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := []error{fmt.Errorf("collector: close: %w", context.Cause(ctx))}
	for i, since := range c.busy {
		if !since.IsZero() {
			errs = append(errs, fmt.Errorf("source %q has not returned", c.config.Sources[i].Name()))
		}
	}
	return errors.Join(errs...)
}
