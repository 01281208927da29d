package subscription

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// run are tasks for one worker, to be called in their order.
type run struct {
	tasks []*Task
	// current is the index of the task that is being called, and callBegan when
	// its call began, in nanoseconds since the dispatcher's start. The tasks
	// before it are the dispatcher's again.
	current   atomic.Int64
	callBegan atomic.Int64
	// collected is how many the dispatcher has taken back, and back are those
	// of them that were not called.
	collected int
	back      []*Task
}

// worker calls the handler. A handler that never returns costs its worker, and
// nothing else: its run is no longer waited for once over is closed.
type worker struct {
	fn       handler.Func
	timeout  time.Duration
	observe  func(ctx context.Context, t *Task)
	began    time.Time // of the dispatcher
	runs     <-chan *run
	finished chan<- *run
	over     <-chan struct{}
	stopping *atomic.Bool
}

// loop works until runs is closed. The handlers' contexts descend from base.
func (w *worker) loop(base context.Context) {
	for r := range w.runs {
		w.work(base, r)
	}
}

func (w *worker) work(base context.Context, r *run) {
	var failed map[string]bool // keys whose later tasks wait until the failed one is settled
	now := time.Now()
	for i, t := range r.tasks {
		if w.stopping.Load() {
			skip(r.tasks[i:])
			break
		}
		if t.call.isLost() || failed[t.key] {
			t.notRun = true
			continue
		}
		r.callBegan.Store(int64(now.Sub(w.began)))
		r.current.Store(int64(i))
		now = w.call(base, t, now)
		if t.outcome == handler.Down {
			skip(r.tasks[i+1:])
			break
		}
		if t.key != "" && t.outcome != handler.Done && t.outcome != handler.Skipped {
			if failed == nil {
				failed = make(map[string]bool)
			}
			failed[t.key] = true
		}
	}
	select {
	case w.finished <- r:
	case <-w.over:
	}
}

// call calls the handler and returns the time at which it returned.
func (w *worker) call(base context.Context, t *Task, started time.Time) time.Time {
	deadline := started.Add(w.timeout)
	t.call.begin(base, deadline)
	t.envelope.Source.Attempt = t.Attempts + 1
	ctx := handler.WithTrace(t.call, t.envelope)
	err := w.fn(ctx, t.envelope)
	ended := time.Now()

	t.outcome, t.after, err = outcomeOf(err)
	// A call that failed because the engine waits no longer is no failure of the
	// message, which is released as if it had not been called.
	t.notRun = t.outcome == handler.Failed && base.Err() != nil
	if t.outcome == handler.Failed && !ended.Before(deadline) && !errors.Is(err, ErrHandlerTimeout) {
		err = errors.Join(ErrHandlerTimeout, err)
	}
	t.err, t.started, t.took = err, started, ended.Sub(started)
	w.observe(ctx, t) // before the end: an exemplar looks up the context's values
	t.call.end(callReturned)
	return ended
}

// outcomeOf reads the outcome out of a handler's error. The error's own methods
// are the handler's code too: one that panics is a failure.
func outcomeOf(err error) (o handler.Outcome, after time.Duration, told error) {
	defer func() {
		if v := recover(); v != nil {
			o, told = handler.Failed, &handler.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	o, after = handler.OutcomeOf(err)
	if o != handler.Done {
		_ = err.Error()
	}
	return o, after, err
}

func skip(tasks []*Task) {
	for _, t := range tasks {
		t.notRun = true
	}
}
