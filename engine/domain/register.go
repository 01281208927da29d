package domain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Register adds handlers. It reports every mistake of every one of them, and
// adds none of a call that has any.
func (d *Domain) Register(registrations ...handler.Registration) error {
	all := slices.Clone(d.handlers)
	var errs []error
	for _, r := range registrations {
		if err := errors.Join(checkRegistration(r), checkBeside(all, r)); err != nil {
			errs = append(errs, fmt.Errorf("handler %q: %w", r.Name, err))
		}
		all = append(all, r)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.handlers = all
	return nil
}

// checkRegistration looks at one handler alone.
func checkRegistration(r handler.Registration) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Name == "" || strings.ContainsAny(r.Name, " \t\r\n") {
		bad("expected a name without spaces, such as shop.orders.OrderProjector")
	}
	if r.Kind < handler.KindEvent || r.Kind > handler.KindSubscriber {
		bad("Kind is not set: build it with Events, Commands, Projector or Subscriber")
	}
	if len(r.Streams) == 0 {
		bad("no stream: expected at least one")
	}
	for i, stream := range r.Streams {
		if slices.Contains(r.Streams[:i], stream) {
			bad("stream %q is named twice", stream)
		}
		if err := checkStream(stream); err != nil {
			bad("stream %q: %w", stream, err)
		}
		if r.Kind == handler.KindCommand && strings.HasSuffix(stream, message.CommandSuffix) {
			bad("category %q: expected it without %s, which is added", stream, message.CommandSuffix)
		}
	}
	if r.Kind == handler.KindCommand && len(r.Streams) > 1 {
		bad("commands of %d categories: expected one, register the handler for each", len(r.Streams))
	}
	errs = append(errs, checkRoutes(r.Routes))
	return errors.Join(errs...)
}

func checkRoutes(routes []handler.Route) error {
	if len(routes) == 0 {
		return errors.New("no route: expected at least one, On(…) or Any(…)")
	}
	for _, route := range routes {
		if route.Func == nil {
			return fmt.Errorf("the route of %s has no function", typeName(route.Type))
		}
	}
	return nil
}

// checkBeside looks at a handler among those before it.
func checkBeside(others []handler.Registration, r handler.Registration) error {
	var errs []error
	for _, o := range others {
		switch {
		case o.Name == r.Name:
			errs = append(errs, errors.New("registered twice: the name is the consumer group, give each its own"))
		case o.Kind == handler.KindCommand && r.Kind == handler.KindCommand:
			errs = append(errs, checkCommands(o, r))
		default:
			errs = append(errs, checkGroups(o, r))
		}
	}
	return errors.Join(errs...)
}

// checkGroups refuses two handlers that would take each other's entries.
func checkGroups(a, b handler.Registration) error {
	if groupOf(a) != groupOf(b) {
		return nil
	}
	for _, stream := range streamsOf(a) {
		if slices.Contains(streamsOf(b), stream) {
			return fmt.Errorf("has group %q on stream %q, as handler %q has: each would get half of the entries", groupOf(a), stream, a.Name)
		}
	}
	return nil
}

// checkCommands refuses two handlers of one command.
func checkCommands(a, b handler.Registration) error {
	if !slices.Equal(a.Streams, b.Streams) {
		return nil
	}
	for _, route := range a.Routes {
		if slices.ContainsFunc(b.Routes, func(r handler.Route) bool { return r.Type == route.Type }) {
			return fmt.Errorf("handles %s of %q, as handler %q does: a command has one handler", typeName(route.Type), a.Streams[0], a.Name)
		}
	}
	return nil
}

func typeName(typ string) string {
	if typ == "" {
		return "every type"
	}
	return fmt.Sprintf("type %q", typ)
}

// groupOf is the consumer group of a handler; that of commands is their
// dispatcher's.
func groupOf(r handler.Registration) string {
	if r.Group != "" {
		return r.Group
	}
	if r.Kind == handler.KindCommand && len(r.Streams) > 0 {
		return dispatcherName(r.Streams[0])
	}
	return r.Name
}

// streamsOf are the streams that a handler reads.
func streamsOf(r handler.Registration) []string {
	if r.Kind != handler.KindCommand {
		return r.Streams
	}
	streams := make([]string, len(r.Streams))
	for i, category := range r.Streams {
		streams[i] = message.CommandCategory(category)
	}
	return streams
}
