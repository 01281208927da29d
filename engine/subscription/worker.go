package subscription

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// ErrHandlerTimeout is the cause of a handler's context that ended because the
// handler took longer than Config.HandlerTimeout.
var ErrHandlerTimeout = errors.New("handler took longer than handler_timeout_seconds")

// run are tasks for one worker, to be called in their order.
type run struct {
	tasks []*task
	// current is the index of the task that is being called. Those before it
	// are the dispatcher's again.
	current atomic.Int64
	// collected is how many the dispatcher has taken back, and back are those
	// of them that were not run.
	collected int
	back      []*task
}

// worker calls the handler. A handler that never returns costs its worker, and
// nothing else: its run is no longer waited for once over is closed.
type worker struct {
	fn       handler.Func
	timeout  time.Duration
	observe  func(ctx context.Context, t *task)
	runs     <-chan *run
	finished chan<- *run
	over     <-chan struct{}
	stopping *atomic.Bool

	base   context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// loop works until runs is closed. Handlers' contexts descend from ctx.
func (w *worker) loop(ctx context.Context) {
	w.base = ctx
	w.renew()
	defer func() { w.cancel(context.Canceled) }()
	for r := range w.runs {
		w.work(r)
	}
}

// renew makes the context that handlers get until one of them times out.
func (w *worker) renew() {
	w.ctx, w.cancel = context.WithCancelCause(w.base)
	cancel := w.cancel
	w.timer = time.AfterFunc(w.timeout, func() { cancel(ErrHandlerTimeout) })
	w.timer.Stop()
}

func (w *worker) work(r *run) {
	var failed []string // keys whose later tasks must wait
	now := time.Now()
	for i, t := range r.tasks {
		if w.stopping.Load() {
			w.skip(r.tasks[i:])
			break
		}
		if t.key != "" && slices.Contains(failed, t.key) {
			t.notRun = true
			continue
		}
		r.current.Store(int64(i))
		now = w.call(t, now)
		if v, _ := handler.OutcomeOf(t.err); v == handler.Down {
			w.skip(r.tasks[i+1:])
			break
		} else if v == handler.Failed || v == handler.Postponed {
			failed = append(failed, t.key)
		}
	}
	select {
	case w.finished <- r:
	case <-w.over:
	}
}

// call runs the handler and returns the time at which it ended.
func (w *worker) call(t *task, started time.Time) time.Time {
	t.notRun = false
	t.started = started
	t.envelope.Source.Attempt = t.calls + 1
	ctx := handler.WithTrace(w.ctx, &t.envelope)
	w.timer.Reset(w.timeout)
	t.err = w.fn(ctx, &t.envelope)
	if !w.timer.Stop() || w.ctx.Err() != nil {
		t.err = timedOut(w.ctx, t.err)
		t.notRun = w.cutOff(t.err)
		w.cancel(context.Canceled)
		w.renew()
	}
	ended := time.Now()
	t.took = ended.Sub(started)
	w.observe(ctx, t)
	return ended
}

// cutOff says whether a call failed because the engine did not wait any longer:
// that is no failure of the message, which is released as if not called.
func (w *worker) cutOff(err error) bool {
	v, _ := handler.OutcomeOf(err)
	return v == handler.Failed && w.base.Err() != nil
}

// timedOut names the time-out in the error of a handler whose time was up. A
// handler that finished nevertheless has finished.
func timedOut(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || !errors.Is(cause, ErrHandlerTimeout) || errors.Is(err, ErrHandlerTimeout) {
		return err
	}
	if v, _ := handler.OutcomeOf(err); v != handler.Failed {
		return err
	}
	return errors.Join(cause, err)
}

func (w *worker) skip(tasks []*task) {
	for _, t := range tasks {
		t.notRun = true
	}
}
