package subscription

import (
	"context"
	"sync"
)

// Drain has the subscription take no new messages until it is called with false:
// calls under way go on, and then all else that is in hand is given back, so that
// another process may take it at once, and so is the ownership of an event store's
// subscription. It returns at once. It may be called from any goroutine.
func (r *Runner) Drain(on bool) {
	r.status.gate.set(Draining, on)
	r.status.signalGate()
	r.drain.set(on)
}

// drain is whether a subscription is drained.
type drain struct {
	mu      sync.Mutex
	on      bool
	stop    func()        // ends what is served now
	resumed chan struct{} // closed when it is drained no more; nil unless it is
}

func (d *drain) set(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on == on {
		return
	}
	if d.on = on; !on {
		close(d.resumed)
		d.resumed = nil
		return
	}
	d.resumed = make(chan struct{})
	if d.stop != nil {
		d.stop()
	}
}

// serve notes what ends the serving that begins, and ends it where draining has
// begun meanwhile.
func (d *drain) serve(stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop = stop; d.on {
		stop()
	}
}

// wait waits while the subscription is drained. It reports false when ctx has ended.
func (d *drain) wait(ctx context.Context) bool {
	d.mu.Lock()
	resumed := d.resumed
	d.mu.Unlock()
	if resumed != nil {
		select {
		case <-resumed:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
