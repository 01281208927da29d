package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// flight is one snapshot in the making. Its fields are guarded by the
// collector's lock until sealed is closed, and constant from then on.
type flight struct {
	started time.Time
	parts   []Part
	missing map[int]bool
	read    chan struct{} // closed when no part is missing
	cut     bool          // its deadline came before a source's answer

	sealed   chan struct{}
	snapshot *Snapshot
}

// start launches a flight under ctx's deadline. c.mu is held.
func (c *Collector) start(ctx context.Context) *flight {
	f := newFlight(c.config.Sources)
	end := f.started.Add(c.config.Timeout)
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	hard, cancel := context.WithDeadline(c.ctx, end)
	soft, cancelSoft := context.WithDeadline(hard, end.Add(-margin(time.Until(end))))
	for i := range c.config.Sources {
		c.launch(soft, f, i)
	}
	c.spawn(func() {
		defer cancel()
		defer cancelSoft()
		select {
		case <-f.read:
		case <-hard.Done():
		}
		c.seal(f, context.Cause(hard))
	})
	return f
}

func newFlight(sources []Source) *flight {
	f := &flight{
		started: time.Now(),
		parts:   make([]Part, len(sources)),
		missing: make(map[int]bool, len(sources)),
		read:    make(chan struct{}),
		sealed:  make(chan struct{}),
	}
	for i, source := range sources {
		f.parts[i].Source = source.Name()
		f.missing[i] = true
	}
	if len(sources) == 0 {
		close(f.read)
	}
	return f
}

// margin is what sources leave of the time that the callers have, so that one
// which gives up can still tell what it knows (a broker: not up).
func margin(d time.Duration) time.Duration {
	return min(max(d, 0)/10, 500*time.Millisecond)
}

// launch reads one source, unless an earlier flight still does. c.mu is held.
func (c *Collector) launch(ctx context.Context, f *flight, i int) {
	if since := c.busy[i]; !since.IsZero() {
		f.finish(i, Part{
			Err: fmt.Errorf("%w: still being read since %s", ErrUnfinished, since.UTC().Format(time.RFC3339)),
		})
		return
	}
	c.busy[i] = f.started
	c.spawn(func() {
		part := c.collect(ctx, c.config.Sources[i])
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy[i] = time.Time{}
		f.cut = f.cut || f.missing[i] && part.Err != nil && ctx.Err() != nil
		f.finish(i, part)
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

// finish files a part, unless the flight was sealed without it.
func (f *flight) finish(i int, part Part) {
	if !f.missing[i] {
		return
	}
	part.Source = f.parts[i].Source
	f.parts[i] = part
	delete(f.missing, i)
	if len(f.missing) == 0 {
		close(f.read)
	}
}

// seal ends a flight: what is missing failed, and the result is kept unless
// the flight was cut short, for what reason.
func (c *Collector) seal(f *flight, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.cut = f.cut || len(f.missing) > 0
	f.snapshot = f.picture(reason)
	clear(f.missing)
	c.current = nil
	if !f.cut {
		c.last = f.snapshot
	}
	c.report(f.snapshot)
	close(f.sealed)
}

// picture is what is there; what is missing was not read, for what reason.
func (f *flight) picture(reason error) *Snapshot {
	parts := slices.Clone(f.parts)
	for i := range f.missing {
		parts[i].Err = fmt.Errorf("%w: %w", ErrUnfinished, reason)
		parts[i].Duration = time.Since(f.started)
	}
	return &Snapshot{Taken: time.Now(), Parts: parts}
}

// sofar is the picture for a caller who cannot wait any longer.
func (c *Collector) sofar(ctx context.Context, f *flight) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.snapshot != nil {
		return f.snapshot
	}
	return f.picture(context.Cause(ctx))
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

// stuck names the sources that did not return when they were told to.
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
