package handler_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

var errBroken = errors.New("broken")

func envelope(typ string) *message.Envelope {
	return &message.Envelope{Data: []byte(`{"n": 7}`), Metadata: message.Metadata{Headers: message.Headers{Type: typ}}}
}

func outcomeOf(err error) handler.Outcome {
	v, _ := handler.OutcomeOf(err)
	return v
}

func TestTheErrorSaysTheOutcome(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		want handler.Outcome
	}{
		{nil, handler.Done},
		{errBroken, handler.Failed},
		{handler.Reject(errBroken), handler.Rejected},
		{handler.RetryAfter(time.Second), handler.Postponed},
		{handler.Unavailable(errBroken), handler.Down},
		{handler.Skip(errBroken), handler.Skipped},
		{fmt.Errorf("order 7: %w", handler.Reject(errBroken)), handler.Rejected},
		{handler.Reject(nil), handler.Rejected},
		{handler.RejectUncalled(nil), handler.Rejected},
	} {
		require.Equal(t, row.want, outcomeOf(row.err), "%v", row.err)
	}
	require.True(t, handler.IsUncalled(handler.RejectUncalled(errBroken)))
	require.False(t, handler.IsUncalled(handler.Reject(errBroken)))
	require.ErrorIs(t, handler.Reject(errBroken), errBroken)
	require.Equal(t, errBroken, handler.Cause(handler.Reject(errBroken)))
	require.Equal(t, errBroken, handler.Cause(errBroken))
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{
		time.Minute: time.Minute, 48 * time.Hour: handler.MaxRetryAfter,
		-time.Second: handler.MinRetryAfter, 0: handler.MinRetryAfter,
	} {
		_, after := handler.OutcomeOf(handler.RetryAfter(given))
		require.Equal(t, want, after)
	}
}

func TestTypedPayload(t *testing.T) {
	t.Parallel()
	type payload struct{ N int }
	var got payload
	route := handler.On("A.v1", func(_ context.Context, p payload, m *message.Envelope) error {
		got = p
		require.Equal(t, "A.v1", m.Metadata.Headers.Type)
		return nil
	})
	require.NoError(t, route.Func(t.Context(), envelope("A.v1")))
	require.Equal(t, payload{7}, got)

	m := envelope("A.v1")
	m.Data = []byte(`{"n": "seven"}`)
	err := route.Func(t.Context(), m)
	require.Equal(t, handler.Rejected, outcomeOf(err), "no later attempt can decode it")
	require.ErrorContains(t, err, "A.v1")
}

func TestEventsRunTheirRoutesInOrderUpToTheFirstFailure(t *testing.T) {
	t.Parallel()
	var ran []string
	route := func(name, typ string, err error) handler.Route {
		return handler.Route{Type: typ, Func: func(context.Context, *message.Envelope) error {
			ran = append(ran, name)
			return err
		}}
	}
	fn := handler.Dispatch(handler.KindEvent, []handler.Route{
		route("first", "A.v1", nil), route("second", "A.v1", errBroken), route("third", "A.v1", nil), route("other", "B.v1", nil),
	})
	require.ErrorIs(t, fn(t.Context(), envelope("A.v1")), errBroken)
	require.Equal(t, []string{"first", "second"}, ran)
	require.Equal(t, handler.Skipped, outcomeOf(fn(t.Context(), envelope("C.v1"))))
}

func TestAnyTakesWhatHasNoRouteOfItsOwn(t *testing.T) {
	t.Parallel()
	var any, own int
	fn := handler.Dispatch(handler.KindEvent, []handler.Route{
		handler.Any(func(context.Context, *message.Envelope) error { any++; return nil }),
		{Type: "A.v1", Func: func(context.Context, *message.Envelope) error { own++; return nil }},
	})
	require.NoError(t, fn(t.Context(), envelope("A.v1")))
	require.NoError(t, fn(t.Context(), envelope("B.v1")))
	require.Equal(t, [2]int{1, 1}, [2]int{any, own})
}

func TestCommandNobodyHandlesIsRejectedAndALateOneSkipped(t *testing.T) {
	t.Parallel()
	fn := handler.Dispatch(handler.KindCommand, []handler.Route{
		{Type: "Place.v1", Func: func(context.Context, *message.Envelope) error { return nil }},
	})
	require.Equal(t, handler.Rejected, outcomeOf(fn(t.Context(), envelope("Cancel.v1"))))
	m := envelope("Place.v1")
	m.Metadata.Headers.Deadline = time.Now().Add(time.Hour)
	require.NoError(t, fn(t.Context(), m))
	m.Metadata.Headers.Deadline = time.Now().Add(-time.Second)
	require.Equal(t, handler.Skipped, outcomeOf(fn(t.Context(), m)))
}

func TestPanicIsAnErrorWithItsStack(t *testing.T) {
	t.Parallel()
	fn := handler.Recover(func(context.Context, *message.Envelope) error { panic(errBroken) })
	err := fn(t.Context(), envelope("A.v1"))
	var crash *handler.PanicError
	require.ErrorAs(t, err, &crash)
	require.Contains(t, string(crash.Stack), "handler_test.go")
	require.Equal(t, handler.Failed, outcomeOf(err))
}

func TestChainRunsTheFirstOutermost(t *testing.T) {
	t.Parallel()
	var ran string
	named := func(name string) handler.Middleware {
		return func(next handler.Func) handler.Func {
			return func(ctx context.Context, m *message.Envelope) error {
				ran += name
				return next(ctx, m)
			}
		}
	}
	fn := handler.Chain(func(context.Context, *message.Envelope) error { ran += "!"; return nil }, named("a"), named("b"))
	require.NoError(t, fn(t.Context(), envelope("A.v1")))
	require.Equal(t, "ab!", ran)
}

func TestTheMessagesTraceIsTheParent(t *testing.T) {
	t.Parallel()
	m := envelope("A.v1")
	require.Equal(t, t.Context(), handler.WithTrace(t.Context(), m), "no trace, no change")
	m.Metadata.Headers.TraceParent = message.TraceParent{
		TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", ParentID: "00f067aa0ba902b7", Sampled: true,
	}
	parent := trace.SpanContextFromContext(handler.WithTrace(t.Context(), m))
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", parent.TraceID().String())
	require.True(t, parent.IsSampled())
	require.True(t, parent.IsRemote())
	m.Metadata.Headers.TraceParent.TraceID = "nonsense"
	require.Equal(t, t.Context(), handler.WithTrace(t.Context(), m))
}
