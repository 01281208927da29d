package collector

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrClosed is returned by a collector that was closed.
var ErrClosed = errors.New("collector: closed")

// ErrUnfinished is, wrapped, the error of a part that had not been read when the
// deadline of its caller or of its collection came.
var ErrUnfinished = errors.New("not read before the deadline")

// Config is what a Collector reads.
type Config struct {
	// Sources are read side by side, each at most once at a time. The
	// collector does not close them.
	Sources []Source
	// MaxAge is how long a snapshot is handed out again; default 2 s.
	MaxAge time.Duration
	// Timeout bounds a collection whose caller has no deadline of its own;
	// default 10 s.
	Timeout time.Duration
	// Logger gets a line when a source starts to fail and when it recovers;
	// default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.MaxAge = cmp.Or(c.MaxAge, 2*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "collector")
	return c
}

// Collector takes snapshots of its sources and shares them. Its methods may be
// called side by side.
type Collector struct {
	config Config
	ctx    context.Context // of every collection; ended by Close
	stop   context.CancelFunc
	idle   chan struct{} // closed when the collector is and nothing runs any more

	mu      sync.Mutex
	closed  bool
	running int       // goroutines
	last    *Snapshot // the newest that was read to its end
	current *sharedCollection
	busy    []time.Time // since when a source is being read; zero: it is not
	failing []bool      // what the log last said of a source
	history history
}

// New returns a collector of the sources. It touches none of them.
func New(config Config) *Collector {
	c := &Collector{config: config.withDefaults(), idle: make(chan struct{}), history: make(history)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.busy = make([]time.Time, len(config.Sources))
	c.failing = make([]bool, len(config.Sources))
	return c
}

// Snapshot returns a snapshot that is at most MaxAge old, or takes one.
//
// Callers that come while one is being taken share it. It is taken under the
// deadline of the caller that started it, less a margin in which sources can
// still return what they have, and goes on when that caller's context ends. A
// caller with an earlier deadline gets what was read by then; a caller with time
// for another collection starts it where the first was cut short. So Snapshot
// never outlasts ctx, and a part that was not read in time carries
// ErrUnfinished.
//
// The result is shared: it must not be changed. The error is ErrClosed or nil.
func (c *Collector) Snapshot(ctx context.Context) (*Snapshot, error) {
	for {
		shared, mine, snapshot, err := c.join(ctx)
		if shared == nil {
			return snapshot, err
		}
		select {
		case <-ctx.Done():
			return c.atDeadline(ctx, shared), nil
		case <-shared.sealed:
		}
		if mine || !shared.cut || !timeFor(ctx, shared) {
			return shared.snapshot, nil
		}
	}
}

// join returns a snapshot that is fresh enough, or the collection to wait
// for and whether this caller started it.
func (c *Collector) join(ctx context.Context) (shared *sharedCollection, mine bool, fresh *Snapshot, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, false, nil, ErrClosed
	case c.last != nil && time.Since(c.last.Taken) < c.config.MaxAge:
		return nil, false, c.last, nil
	case c.current == nil:
		c.current, mine = c.start(ctx), true
	}
	return c.current, mine, nil, nil
}

// timeFor reports whether ctx leaves as much time as the collection took.
func timeFor(ctx context.Context, shared *sharedCollection) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) >= shared.snapshot.Taken.Sub(shared.started)
}

// Close cancels what is being read and waits for it until ctx ends; its error
// then names the sources that did not return. Harmless when repeated.
func (c *Collector) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.stop()
		c.ended(0)
	}
	c.mu.Unlock()

	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
		return c.stuck(ctx)
	}
}

// spawn runs f in a goroutine that Close waits for. c.mu is held.
func (c *Collector) spawn(f func()) {
	c.running++
	go func() {
		f()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended(1)
	}()
}

// ended counts goroutines out. c.mu is held.
func (c *Collector) ended(n int) {
	c.running -= n
	if c.closed && c.running == 0 {
		close(c.idle)
	}
}
