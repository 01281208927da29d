package subscription

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// ErrHandlerTimeout is the cause of a handler's context that ended because the
// handler took longer than Config.HandlerTimeout.
var ErrHandlerTimeout = errors.New("handler took longer than handler_timeout_seconds")

// callContext is the context of one call of a handler. It ends at its deadline,
// when the call returns, when the message is lost to another consumer, and when
// base ends because the engine waits no longer.
//
// A context of the standard library costs four allocations and more time than
// the rest of a fast handler's way. Those of a batch are allocated at once; one makes a
// context of the standard library when Done is asked for, and when it has
// ended, so that its error and cause are the right ones.
type callContext struct {
	base     context.Context
	traced   bool // base carries the message's trace
	deadline time.Time
	ended    atomic.Pointer[ending]
	derived  atomic.Pointer[derivedContext]
	watch    atomic.Pointer[watch]
}

// ending is why a call's context ended before its deadline.
type ending struct{ cause error }

var (
	callReturned = &ending{context.Canceled}
	messageLost  = &ending{ErrLost}
)

// watch is a function to be called, once, when a call's context ends.
type watch struct {
	f     func()
	ended atomic.Bool // the function was called, or is not to be called any more
}

func (w *watch) fire() {
	if w.ended.CompareAndSwap(false, true) {
		go w.f()
	}
}

type derivedContext struct {
	context.Context
	cancel func(cause error)
}

// begin starts the call for a message. The context is not used before.
func (c *callContext) begin(base context.Context, m *message.Envelope, deadline time.Time) {
	c.base = handler.WithTrace(base, m)
	c.traced, c.deadline = c.base != base, deadline
	if number := m.Source.Fence; number > 0 {
		c.base = handler.WithFence(c.base, number)
	}
}

// end ends the context unless it has ended. It may be called from any goroutine.
func (c *callContext) end(why *ending) {
	if !c.ended.CompareAndSwap(nil, why) {
		return
	}
	if d := c.derived.Load(); d != nil {
		d.cancel(why.cause)
	}
	if w := c.watch.Load(); w != nil {
		w.fire()
	}
}

// BeforeDeadline has f called in a goroutine of its own if the context ends before
// its deadline. stop ends that, and reports false if f was called. It is for a
// handler that keeps to the deadline by itself, as one does that sets it on a
// connection: to ask for Done costs much more. The engine's own delivery over HTTP
// looks for it.
func (c *callContext) BeforeDeadline(f func()) (stop func() bool) {
	w := &watch{f: f}
	if !c.watch.CompareAndSwap(nil, w) {
		return context.AfterFunc(c, f)
	}
	if c.ended.Load() != nil {
		w.fire()
	}
	return func() bool {
		c.watch.CompareAndSwap(w, nil)
		return w.ended.CompareAndSwap(false, true)
	}
}

// isLost reports whether the message was lost before or during the call.
func (c *callContext) isLost() bool { return c.ended.Load() == messageLost }

// Deadline implements [context.Context].
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements [context.Context].
func (c *callContext) Done() <-chan struct{} { return c.derive().Done() }

// Err implements [context.Context].
func (c *callContext) Err() error {
	if d := c.derived.Load(); d != nil {
		return d.Err()
	}
	if c.ended.Load() == nil && c.base.Err() == nil && time.Now().Before(c.deadline) {
		return nil
	}
	return c.derive().Err()
}

// Value implements [context.Context].
func (c *callContext) Value(key any) any {
	if d := c.derived.Load(); d != nil {
		return d.Value(key)
	}
	if c.ended.Load() == nil {
		return c.base.Value(key)
	}
	return c.derive().Value(key)
}

// derive makes the context of the standard library, once.
func (c *callContext) derive() *derivedContext {
	if d := c.derived.Load(); d != nil {
		return d
	}
	inner, cancel := context.WithCancelCause(c.base)
	if e := c.ended.Load(); e != nil { // before the deadline, which may have passed since
		cancel(e.cause)
	}
	outer, stop := context.WithDeadlineCause(inner, c.deadline, ErrHandlerTimeout)
	d := &derivedContext{Context: outer, cancel: func(cause error) {
		cancel(cause)
		stop()
	}}
	if !c.derived.CompareAndSwap(nil, d) {
		d.cancel(context.Canceled)
		return c.derived.Load()
	}
	if e := c.ended.Load(); e != nil {
		d.cancel(e.cause)
	}
	return d
}
