package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Closers is a stack of what must be closed again: the last opened is closed
// first. Its zero value is ready; it must not be copied. It serves a start
// that fails half-way as well as an orderly end.
type Closers struct {
	// closing is held while Close runs, so that a second Close waits.
	closing sync.Mutex

	mu    sync.Mutex
	stack []closer
}

type closer struct {
	name  string
	close func(ctx context.Context) error
}

// Add pushes a function that closes the named thing. It must return soon after
// its context ends.
func (c *Closers) Add(name string, close func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stack = append(c.stack, closer{name, close})
}

// Close closes everything, the last added first, and returns all that failed.
// Whatever fails or takes all of ctx's time, the rest is closed too. What is
// closed leaves the stack: a second Close waits for the first and closes what
// was added since.
func (c *Closers) Close(ctx context.Context) error {
	c.closing.Lock()
	defer c.closing.Unlock()
	var errs []error
	for last, ok := c.pop(); ok; last, ok = c.pop() {
		if err := last.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Closers) pop() (last closer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.stack) - 1
	if n < 0 {
		return closer{}, false
	}
	last, c.stack = c.stack[n], c.stack[:n]
	return last, true
}
