package subscription

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
)

// run are tasks for one worker, to be called in their order.
type run struct {
	tasks []*Task
	// isolated says that it is one task, over which the target may have gone down
	// before, and handed is when the run was given to the worker.
	isolated bool
	handed   time.Time
	opening  int64 // of the circuit breaker, that permits the run
	// current is the index of the task that is being called, and callBegan when
	// its call began, in nanoseconds since the dispatcher's start. The tasks
	// before it are the dispatcher's again.
	current   atomic.Int64
	callBegan atomic.Int64

	// These are the worker's.

	next int             // the index of the task to go on with
	down bool            // the target was found down: the rest is not called
	held map[string]bool // keys whose later tasks wait until one before them is settled

	// worker is the number of the worker that has ended with this run, read where
	// workerEnded is set.
	worker      int
	workerEnded bool

	// These are the dispatcher's.

	collected int     // how many it has taken back
	back      []*Task // those of them that were not called
}

// isStuck reports whether the call under way runs beyond its time-out: nothing else
// waits for it.
func (r *run) isStuck() bool { return r.tasks[r.current.Load()].overdue.Load() }

// errGoexit is the failure of a handler that ended its goroutine.
var errGoexit = errors.New("handler called runtime.Goexit (as FailNow of a test does) and did not return")

// worker calls the handler. A handler that never returns takes up its worker and its
// key, and what is called by itself then stays so; its run is no longer waited for
// once over is closed.
type worker struct {
	number   int
	fn       handler.Func
	timeout  time.Duration
	observe  func(t *Task)
	began    time.Time // of the dispatcher
	runs     <-chan *run
	finished chan<- *run
	over     <-chan struct{}
	stopping *atomic.Bool
	breaker  *breaker
	gate     *gate
	group    *sync.WaitGroup
	call     atomic.Pointer[callContext] // under way
}

// start works in a goroutine of its own until runs is closed, beginning with the
// rest of a run, where one is given. The handlers' contexts descend from base. It
// ends with a run that found the target down: a thousand subscriptions that are held
// up keep no goroutine for it, and no stack that a call grew.
func (w *worker) start(base context.Context, rest *run) {
	w.group.Go(func() {
		unwatch := context.AfterFunc(base, func() { w.endCall(base) })
		defer unwatch()
		r, ok := rest, true
		defer func() {
			if r != nil { // the handler ended this goroutine
				w.returned(r, time.Now(), errGoexit)
				w.start(base, r)
			}
		}()
		if r == nil {
			r, ok = <-w.runs
		}
		for ; ok; r, ok = <-w.runs {
			if w.work(base, r) {
				r = nil
				return
			}
		}
	})
}

// endCall ends the context of the call under way once base has ended.
func (w *worker) endCall(base context.Context) {
	if call := w.call.Load(); call != nil {
		call.end(&ending{context.Cause(base)})
	}
}

// work calls the handler for the tasks of a run, from its next on, and hands the
// run back. It reports whether the target was found down.
func (w *worker) work(base context.Context, r *run) (down bool) {
	now := time.Now()
	for r.next < len(r.tasks) {
		t := r.tasks[r.next]
		if r.down || w.stopping.Load() || w.gate.holdsCalls() || w.breaker.revoked(r.opening) || t.call.isLost() || r.held[t.key] {
			t.notRun = true
			r.next++
			continue
		}
		r.callBegan.Store(int64(now.Sub(w.began)))
		r.current.Store(int64(r.next))
		t.started = now
		t.call.begin(base, t.envelope, now.Add(w.timeout))
		t.envelope.Source.Attempt = t.Attempts + 1
		if w.call.Store(t.call); base.Err() != nil {
			w.endCall(base)
		}
		err := w.fn(t.call, t.envelope)
		now = time.Now()
		w.returned(r, now, err)
	}
	if down = r.down; down {
		r.worker, r.workerEnded = w.number, true
	}
	select {
	case w.finished <- r:
	case <-w.over:
	}
	return down
}

// returned notes what the call under way came to.
func (w *worker) returned(r *run, now time.Time, err error) {
	t := r.tasks[r.next]
	w.call.Store(nil)
	o := outcomeOf(err, !now.Before(t.call.deadline))
	t.outcome, t.after, t.uncalled, t.unhandled, t.unreached, t.crash, t.err = o.outcome, o.after, o.uncalled, o.unhandled, o.unreached, o.crash, o.err
	if t.cut = t.outcome == handler.Cut; t.cut {
		t.outcome = handler.Down
	}
	// A call that failed because the engine waits no longer is no failure of the
	// message, which is released as if it had not been called; nor is one that failed
	// because the message was lost.
	t.notRun = t.outcome == handler.Failed && (t.call.base.Err() != nil || t.call.isLost())
	t.took = now.Sub(t.started)
	w.breaker.observe(t, r.opening)
	w.observe(t) // before the end: an exemplar looks up the context's values
	t.call.end(callReturned)
	r.next++
	switch t.outcome {
	case handler.Done, handler.Skipped:
	case handler.Down:
		r.down = true
	default:
		if t.key == "" {
			break
		}
		if r.held == nil {
			r.held = make(map[string]bool)
		}
		r.held[t.key] = true
	}
}

// callOutcome is what a handler's error says, read once.
type callOutcome struct {
	outcome   handler.Outcome
	after     time.Duration
	uncalled  bool
	unhandled bool
	unreached bool
	crash     *handler.PanicError
	err       error // a plain text
}

// outcomeOf reads all that is to be known of a handler's error. The error's own
// methods are the handler's code too: one that panics is a failure.
func outcomeOf(err error, late bool) (o callOutcome) {
	defer func() {
		if v := recover(); v != nil {
			crash := &handler.PanicError{Value: v, Stack: debug.Stack()}
			o = callOutcome{outcome: handler.Failed, crash: crash, err: crash}
		}
	}()
	if o.outcome, o.after = handler.OutcomeOf(err); o.outcome == handler.Done {
		return o
	}
	o.uncalled, o.unhandled, o.unreached = handler.IsUncalled(err), handler.IsUnhandled(err), handler.IsUnreachable(err)
	o.crash, _ = errors.AsType[*handler.PanicError](err)
	o.err = errors.New(handler.Cause(err).Error())
	if late && o.outcome == handler.Failed && !errors.Is(err, ErrHandlerTimeout) {
		o.err = errors.Join(ErrHandlerTimeout, o.err)
	}
	return o
}
