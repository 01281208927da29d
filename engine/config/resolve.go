package config

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// The origins of settings that are no section of the file and no profile.
const (
	originDefault   = "default"
	originDelivered = "default of [observatory.handlers]"
	originOptions   = "options of the handler"
	originType      = "event_store subscription"
	originStream    = "handler reads a stream"
)

// Resolve returns the settings of a handler's subscriptions. From the
// strongest:
//
//   - the handler's options: Settings, then Profile and Type; of a handler of
//     the file, what stands in [observatory.handlers.<name>];
//   - its section [server.subscriptions.<short name>], own keys before its profile's;
//   - what the file sets for all: [server] and its sections;
//   - the default profile, unless section or options name another;
//   - the defaults of the table of keys.
//
// The section of a command handler is its dispatcher's, or its own where the
// dispatcher has none; where several handlers share a dispatcher, section and
// options of the first one registered hold. What Options.Settings holds is
// checked like the file.
func (c *Config) Resolve(r handler.Registration) (Resolved, error) {
	own, delivered := c.layers.handlers[r.Name]
	if !delivered {
		var err error
		if own, err = c.readOptions(r); err != nil {
			return Resolved{}, err
		}
	}
	section := c.sectionOf(r)
	stack := c.stack(r, own, section, delivered)

	all := decisions{}
	for _, row := range settings {
		all[row.name] = decision{row.defaultValue, originDefault}
		for _, l := range stack {
			if value, given := l.set[row.name]; given {
				all[row.name] = decision{value, l.origin}
				break
			}
		}
	}
	if err := c.fitType(r, delivered, all, own, section); err != nil {
		return Resolved{}, err
	}

	resolved := Resolved{Type: Type(all["subscription_type"].value.(string)), all: all}
	for _, row := range settings {
		if row.sets == nil && row.name != "subscription_type" {
			continue
		}
		decided := all[row.name]
		setting := Setting{Key: row.name, Origin: decided.origin}
		if decided.value != nil {
			setting.Value = row.kind.show(decided.value)
		}
		resolved.Settings = append(resolved.Settings, setting)
	}
	return resolved, nil
}

// stack is the layers of a handler, the strongest first.
func (c *Config) stack(r handler.Registration, own, section layer, delivered bool) []layer {
	l := c.layers
	var stack []layer
	if r.SourceStream != "" {
		stack = append(stack, layer{origin: originOptions, set: map[string]any{"origin_stream": r.SourceStream}})
	}
	stack = append(stack, own)
	stack = append(stack, l.profiles[own.profile]...)
	stack = append(stack, section)
	if own.profile == "" {
		stack = append(stack, l.profiles[section.profile]...)
	}
	if delivered {
		stack = append(stack, deliveredDefaults)
	}
	if r.Kind == handler.KindSubscriber {
		return append(stack, l.broker)
	}
	below := slices.Clone(l.server)
	if section.profile == "" && own.profile == "" {
		below = append(below, l.profiles[l.defaultProfile]...)
	}
	reads := typeOf(own, section)
	if !delivered {
		reads = cmp.Or(typeOf(slices.Concat(stack, below)...), TypeEventStore)
	}
	if reads == TypeEventStore {
		stack = append(stack, l.store)
	}
	return append(stack, below...)
}

// deliveredDefaults are the defaults of handlers of the file.
var deliveredDefaults = func() layer {
	l := layer{origin: originDelivered, set: map[string]any{}}
	for _, r := range settings {
		if r.handlerDefault != nil {
			l.set[r.name] = r.handlerDefault
		}
	}
	return l
}()

// readOptions reads what a program says of its handler.
func (c *Config) readOptions(r handler.Registration) (layer, error) {
	tree := map[string]any{}
	if r.Profile != "" {
		tree["profile"] = r.Profile
	}
	if r.Type != "" {
		tree["subscription_type"] = r.Type
	}
	for key, value := range r.Settings {
		switch v := value.(type) { // as the file would give it
		case nil:
			continue
		case int:
			value = int64(v)
		case int32:
			value = int64(v)
		case float32:
			value = float64(v)
		}
		tree[key] = value
	}
	s := section{name: "options of " + r.Name, tree: tree, problems: &problems{file: c.Path}}
	own := c.layers.read(s, s.read(inOptions))
	own.origin = originOptions
	return own, s.err()
}

// sectionOf finds a handler's section of the file.
func (c *Config) sectionOf(r handler.Registration) layer {
	if r.Kind == handler.KindCommand && len(r.Streams) > 0 {
		if section, ok := c.layers.subscriptions[subscription.ShortName(DispatcherName(r.Streams[0]))]; ok {
			return section
		}
	}
	return c.layers.subscriptions[subscription.ShortName(r.Name)]
}

// HasSubscription reports whether the file has a section
// [server.subscriptions.<name>] for a handler's short name.
func (c *Config) HasSubscription(shortName string) bool {
	_, ok := c.layers.subscriptions[shortName]
	return ok
}

// fitType removes what the subscription's type cannot have. What is set for the
// handler by name and cannot be is an error.
func (c *Config) fitType(r handler.Registration, delivered bool, all decisions, asked ...layer) error {
	switch t := typeOf(asked...); {
	case r.Kind == handler.KindSubscriber && t == TypeEventStore:
		return fmt.Errorf("%s: handler %s cannot be subscription_type = %q: it reads a stream", c.Path, r.Name, t)
	case r.Kind == handler.KindSubscriber, delivered && t != TypeEventStore:
		all.force("subscription_type", string(TypeStream), originStream)
	}
	if all["subscription_type"].value == string(TypeStream) {
		return nil
	}
	if slices.ContainsFunc(asked, func(l layer) bool { return l.set["retention_maxlen"] != nil }) {
		return fmt.Errorf("%s: handler %s cannot have retention_maxlen: an event_store subscription has no stream to trim", c.Path, r.Name)
	}
	all.force("enable_dlq", false, originType)
	all.force("retention_maxlen", nil, originType)
	return nil
}

// DispatcherName is the handler's name that all commands of a category share.
func DispatcherName(category string) string {
	return "protean.server.engine.Commands:" + message.CommandCategory(category)
}
