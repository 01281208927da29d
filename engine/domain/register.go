package domain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// Register adds handlers. It reports every mistake of every one of them, and
// adds none of a call that has any.
func (d *Domain) Register(registrations ...handler.Registration) error {
	all := slices.Clone(d.handlers)
	var errs []error
	known := registered{
		brokers: map[string]handler.Registration{},
		names:   map[string]bool{}, groups: map[groupOnStream]handler.Registration{}, commands: map[commandOfCategory]handler.Registration{},
	}
	for _, r := range all {
		_ = known.add(r, d.lanesOf(r)) // it was found right when it was registered
	}
	for _, r := range registrations {
		if err := errors.Join(checkRegistration(r), known.add(r, d.lanesOf(r))); err != nil {
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

// checkRegistration says what is wrong with one handler alone.
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
		if err := config.CheckStream(stream); err != nil {
			bad("stream %q: %w", stream, err)
		}
		if r.Kind == handler.KindCommand && strings.HasSuffix(stream, message.CommandSuffix) {
			bad("category %q: expected it without %s, which is added", stream, message.CommandSuffix)
		}
	}
	if r.Kind == handler.KindCommand && len(r.Streams) > 1 {
		bad("commands of %d categories: expected one, register the handler for each", len(r.Streams))
	}
	if len(r.Routes) == 0 {
		bad("no route: expected at least one, On(…) or Any(…)")
	}
	for _, route := range r.Routes {
		if route.Func == nil {
			bad("the route of %s has no function", typeName(route.Type))
		}
	}
	return errors.Join(errs...)
}

// registered is what each handler has to itself, by the handler that has it.
type registered struct {
	names    map[string]bool
	brokers  map[string]handler.Registration // by stream
	groups   map[groupOnStream]handler.Registration
	commands map[commandOfCategory]handler.Registration
}

type (
	groupOnStream     struct{ group, stream string }
	commandOfCategory struct{ category, typ string }
)

// add adds a handler, and says what others have already: its name, its group on
// a stream, or, among the command handlers of a category, which share a group,
// its commands. The backfill lanes that it reads beside its streams are streams too.
func (all registered) add(r handler.Registration, lanes []string) error {
	var errs []error
	if all.names[r.Name] {
		errs = append(errs, errors.New("registered twice: the name is the consumer group, give each its own"))
	}
	all.names[r.Name] = true

	group := groupOf(r)
	for _, stream := range slices.Concat(streamsOf(r), lanes) {
		if other, has := all.brokers[stream]; !has {
			all.brokers[stream] = r
		} else if brokerOf(other) != brokerOf(r) {
			errs = append(errs, fmt.Errorf("reads stream %q of broker %q, as handler %q does of broker %q: their figures would be one, rename one of the streams%s",
				stream, brokerOf(r), other.Name, brokerOf(other), ofLane(slices.Contains(lanes, stream) || !slices.Contains(streamsOf(other), stream))))
			break
		}
		at := groupOnStream{group, stream}
		other, has := all.groups[at]
		if !has {
			all.groups[at] = r
			continue
		}
		if bothCommands := other.Kind == handler.KindCommand && r.Kind == handler.KindCommand; !bothCommands && other.Name != r.Name {
			errs = append(errs, fmt.Errorf("has group %q on stream %q, as handler %q has: each would get half of the entries%s", group, stream, other.Name, ofLane(slices.Contains(lanes, stream) || !slices.Contains(streamsOf(other), stream))))
			break
		}
	}

	if r.Kind != handler.KindCommand || len(r.Streams) != 1 {
		return errors.Join(errs...)
	}
	for _, route := range r.Routes {
		at := commandOfCategory{r.Streams[0], route.Type}
		other, has := all.commands[at]
		if !has {
			all.commands[at] = r
			continue
		}
		if other.Name != r.Name {
			errs = append(errs, fmt.Errorf("handles %s of %q, as handler %q does: a command has one handler", typeName(route.Type), at.category, other.Name))
			break
		}
	}
	return errors.Join(errs...)
}

// ofLane says, where it is so, why a handler reads a stream that it does not name.
func ofLane(is bool) string {
	if !is {
		return ""
	}
	return "; one of them reads it as a backfill lane, by [server.priority_lanes]"
}

// lanesOf are the backfill lanes that a handler reads beside the streams that it names.
func (d *Domain) lanesOf(r handler.Registration) (lanes []string) {
	resolved, err := d.config.Resolve(r)
	if err != nil || r.Kind == handler.KindSubscriber {
		return nil
	}
	streams := streamsOf(r)
	for _, stream := range streams {
		lane := d.backfillLane(Subscription{Stream: stream, Type: string(resolved.Type), registration: r})
		if lane != "" && !slices.Contains(streams, lane) {
			lanes = append(lanes, lane)
		}
	}
	return lanes
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
		return config.DispatcherName(r.Streams[0])
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
