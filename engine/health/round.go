package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// checkTimeout is how long a check may take, whether a probe waits or not.
const checkTimeout = 5 * time.Second

var errClosed = errors.New("health: closed")

// The families of checks, as the body names them.
const (
	providers  = "providers"
	brokers    = "brokers"
	eventStore = "event_store"
	caches     = "caches"
)

// round is all the checks, family by family, each in the order of its names.
type round []*check

func roundOf(c Checks) round {
	r := slices.Concat(familyOf(providers, c.Providers), familyOf(brokers, c.Brokers), familyOf(caches, c.Caches))
	if c.EventStore != nil {
		r = append(r, &check{family: eventStore, name: eventStore, pinger: c.EventStore})
	}
	return r
}

func familyOf(family string, members map[string]Pinger) (r round) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		r = append(r, &check{family: family, name: name, pinger: members[name]})
	}
	return r
}

// finding is what a check found.
type finding struct {
	*check
	err error // nil where it is well
}

// errLate is the finding of a check that goes on.
var errLate = fmt.Errorf("no answer within %s", readyTimeout)

// logChange logs a finding that is not what the one before was. A check that
// succeeds from the start is no change.
func (f finding) logChange(log *slog.Logger) {
	f.mu.Lock()
	changed := f.failing != (f.err != nil)
	f.failing = f.err != nil
	f.mu.Unlock()
	switch {
	case !changed || errors.Is(f.err, errClosed):
	case f.err != nil:
		log.Warn("not ready: a check fails", "kind", f.family, "name", f.name, "error", f.err)
	default:
		log.Info("a check succeeds again", "kind", f.family, "name", f.name)
	}
}

// run starts or joins all checks and returns what each has found by the end of
// ctx. Checks that take longer go on.
func (r round) run(ctx context.Context) []finding {
	calls := make([]*call, len(r))
	for i, c := range r {
		calls[i] = c.begin()
	}
	found := make([]finding, len(r))
	for i, c := range r {
		found[i] = finding{c, errLate}
		if calls[i].wait(ctx) {
			found[i].err = calls[i].err
		}
	}
	return found
}

// closeWithin ends all checks and names those that do not end in time.
func (r round) closeWithin(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	last := make([]*call, len(r))
	for i, c := range r {
		last[i] = c.close()
	}
	var errs []error
	for i, c := range r {
		if !last[i].wait(ctx) {
			errs = append(errs, fmt.Errorf("health: the check of %s %q does not end", c.family, c.name))
		}
	}
	return errors.Join(errs...)
}

// check is one dependency; at most one call of it is under way.
type check struct {
	family, name string
	pinger       Pinger

	mu      sync.Mutex
	current *call // the one under way or, once ended, the last
	closed  bool
	failing bool // what was logged last
}

// call is one ping and, once done is closed, its result.
type call struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// ended is a call that is done without a ping.
func ended(err error) *call {
	c := &call{cancel: func() {}, done: make(chan struct{}), err: err}
	close(c.done)
	return c
}

// begin joins the call under way or starts one.
func (c *check) begin() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && !c.current.isDone() {
		return c.current
	}
	if c.closed {
		return ended(errClosed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	c.current = &call{cancel: cancel, done: make(chan struct{})}
	go c.current.run(ctx, c.pinger)
	return c.current
}

// close cancels the call under way, prevents others, and returns it.
func (c *check) close() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.current == nil {
		return ended(nil)
	}
	c.current.cancel()
	return c.current
}

func (c *call) run(ctx context.Context, p Pinger) {
	defer close(c.done)
	defer c.cancel()
	c.err = p.Ping(ctx)
}

func (c *call) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// wait reports whether the call has ended by the end of ctx.
func (c *call) wait(ctx context.Context) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		return c.isDone()
	}
}
