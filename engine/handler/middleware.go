package handler

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/observatory-go/observatory/engine/message"
)

// Chain wraps fn in the middlewares, the first outermost.
func Chain(fn Func, mws ...Middleware) Func {
	for _, mw := range slices.Backward(mws) {
		fn = mw(fn)
	}
	return fn
}

// PanicError is the error of a handler that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error tells what the handler panicked with, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Recover turns a panic into a failed attempt with a [PanicError].
func Recover(next Func) Func {
	return func(ctx context.Context, m *message.Envelope) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
		return next(ctx, m)
	}
}

// WithTrace returns ctx with the span that produced the message as its remote
// parent, so that the handler's spans and exemplars join its trace.
func WithTrace(ctx context.Context, m *message.Envelope) context.Context {
	if parent, ok := spanContext(m.Metadata.Headers.TraceParent); ok {
		return trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	return ctx
}

func spanContext(tp message.TraceParent) (trace.SpanContext, bool) {
	if tp.TraceID == "" {
		return trace.SpanContext{}, false
	}
	traceID, err := trace.TraceIDFromHex(tp.TraceID)
	if err != nil {
		return trace.SpanContext{}, false
	}
	spanID, err := trace.SpanIDFromHex(tp.ParentID)
	if err != nil {
		return trace.SpanContext{}, false
	}
	var flags trace.TraceFlags
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: flags.WithSampled(tp.Sampled), Remote: true,
	}), true
}
