// Package lifecycle runs named functions side by side, closes named things in
// reverse order, and reports by name what failed.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Group runs functions side by side and waits for them. Its zero value is
// ready; it must not be copied.
type Group struct {
	// OnFailure, if set, is called when the first function fails, before its
	// error can be seen: a cancel function there ends the others with it. Set
	// it before Go. Without it a failure leaves the others running.
	OnFailure func()

	wg    sync.WaitGroup
	mu    sync.Mutex
	errs  []error
	first sync.Once
}

// Go runs fn under ctx. It fails where it returns an error other than that
// ctx has ended; returning nil early is no failure.
func (g *Group) Go(ctx context.Context, name string, fn func(ctx context.Context) error) {
	g.wg.Go(func() {
		err := fn(ctx)
		if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return
		}
		g.fail(fmt.Errorf("%s: %w", name, err))
	})
}

func (g *Group) fail(err error) {
	g.mu.Lock()
	g.errs = append(g.errs, err)
	g.mu.Unlock()
	if g.OnFailure != nil {
		g.first.Do(g.OnFailure)
	}
}

// Wait returns when every function has returned, with all that failed in the
// order of failing.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}
