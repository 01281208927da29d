package handler

import (
	"context"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// Dispatch returns the function that runs the routes of a message's type, in
// the order given, up to the first that fails. The next attempt begins with the
// first again, so each must bear to be run twice with one message.
//
// A type without a route is skipped, since a stream is shared by handlers with
// different interests. A command without a route is rejected: no other handler
// will handle it. A command past its deadline is skipped.
func Dispatch(kind Kind, routes []Route) Func {
	t := newTable(routes)
	if kind == KindCommand {
		return t.command
	}
	return t.event
}

// table are routes by message type; the empty type is every other.
type table map[string][]Func

func newTable(routes []Route) table {
	t := make(table, len(routes))
	for _, r := range routes {
		t[r.Type] = append(t[r.Type], r.Func)
	}
	return t
}

func (t table) routesOf(typ string) []Func {
	if fns, ok := t[typ]; ok {
		return fns
	}
	return t[""]
}

func (t table) event(ctx context.Context, m *message.Envelope) error {
	fns := t.routesOf(m.Metadata.Headers.Type)
	if len(fns) == 0 {
		return Skip(fmt.Errorf("no route for type %q", m.Metadata.Headers.Type))
	}
	return run(ctx, m, fns)
}

func (t table) command(ctx context.Context, m *message.Envelope) error {
	h := &m.Metadata.Headers
	fns := t.routesOf(h.Type)
	if len(fns) == 0 {
		return rejectUnhandled(fmt.Errorf("no handler for command type %q", h.Type))
	}
	if !h.Deadline.IsZero() && time.Now().After(h.Deadline) {
		return Skip(fmt.Errorf("command passed its deadline %s", h.Deadline.Format(time.RFC3339)))
	}
	return run(ctx, m, fns)
}

func run(ctx context.Context, m *message.Envelope, fns []Func) error {
	for _, fn := range fns {
		if err := fn(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
