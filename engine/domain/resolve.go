package domain

import (
	"errors"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// deliveryTimeout is how long a handler of the file has, where nothing else is
// said.
const deliveryTimeout = 30 * time.Second

// Resolve returns the settings of a handler's subscriptions, all of them
// decided; what stays nil (breaker threshold, retention, origin, dlq_*) is off
// or inherited. From the strongest:
//
//   - the handler's options: Settings, then Profile and Type;
//   - its section [server.subscriptions.<short name>], own keys before its profile's;
//   - what the file sets for all: [server] and its sections;
//   - the default profile, unless section or options name another;
//   - the built-in defaults.
//
// The section of a command handler is its dispatcher's, or its own where the
// dispatcher has none; where several handlers share a dispatcher, section and
// options of the first one registered hold. What Options.Settings holds is
// checked like the file.
func (c *Config) Resolve(r handler.Registration) (subscription.Settings, error) {
	options, err := c.optionsLayer(r)
	if err != nil {
		return subscription.Settings{}, err
	}
	section := c.sectionOf(r)
	set := c.stack(r, section, options)
	if r.SourceStream != "" {
		set.OriginStream = &r.SourceStream
	}
	return set, c.fit(r, &set, section.own, options.own)
}

// stack lays the sources over each other.
func (c *Config) stack(r handler.Registration, section, options layer) subscription.Settings {
	v := c.server
	set := subscription.Defaults()
	set.Type = new(subscription.TypeEventStore)
	switch r.Kind {
	case handler.KindSubscriber:
		set = v.broker.Over(set)
	default:
		if section.profile == "" && options.profile == "" {
			set = v.profile(v.defaultProfile).Over(set)
		}
		set = v.set.Over(set)
	}
	if c.fromFile(r) {
		set.HandlerTimeout = new(deliveryTimeout)
	}
	if options.profile == "" {
		set = v.profile(section.profile).Over(set)
	}
	set = section.own.Over(set)
	set = v.profile(options.profile).Over(set)
	return options.own.Over(set)
}

// optionsLayer reads what the program says of its handler.
func (c *Config) optionsLayer(r handler.Registration) (layer, error) {
	tree := map[string]any{"profile": r.Profile, "subscription_type": r.Type}
	for key, value := range r.Settings {
		tree[key] = fromGo(value)
	}
	for _, key := range []string{"profile", "subscription_type"} {
		if tree[key] == "" {
			delete(tree, key)
		}
	}
	s := section{name: "options of " + r.Name, tree: tree, problems: &problems{file: c.Path}}
	for _, key := range s.keys() {
		if _, ok := settingKeys[key]; !ok && key != "profile" {
			s.add(Error{Section: s.name, Key: key, Expected: "expected a key of a subscription", Nearest: nearest(key, settingNames())})
		}
	}
	l := s.layer(c.server.profiles)
	s.check(l.own)
	return l, s.err()
}

// fromGo is a value of Go code as the file would give it.
func fromGo(value any) any {
	switch v := value.(type) {
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	}
	return value
}

// sectionOf finds a handler's section of the file.
func (c *Config) sectionOf(r handler.Registration) layer {
	if r.Kind == handler.KindCommand && len(r.Streams) > 0 {
		name := subscription.ShortName(dispatcherName(r.Streams[0]))
		if section, ok := c.server.subscriptions[name]; ok {
			return section
		}
	}
	return c.server.subscriptions[subscription.ShortName(r.Name)]
}

// fit takes back what the subscription's type cannot have. What was asked for
// the handler by name and cannot be is an error.
func (c *Config) fit(r handler.Registration, set *subscription.Settings, asked ...subscription.Settings) error {
	if c.fromFile(r) || r.Kind == handler.KindSubscriber {
		if t := or(asked[0].Type, or(asked[1].Type, subscription.TypeStream)); t != subscription.TypeStream {
			return fmt.Errorf("%s: handler %s cannot be subscription_type = %q: it reads a stream", c.Path, r.Name, t)
		}
		set.Type = new(subscription.TypeStream)
	}
	if *set.Type == subscription.TypeStream {
		return nil
	}
	for _, a := range asked {
		if a.RetentionMaxLen != nil {
			return errors.New(c.Path + ": handler " + r.Name + " cannot have retention_maxlen: an event_store subscription has no stream to trim")
		}
	}
	set.EnableDLQ, set.RetentionMaxLen = new(false), nil
	return nil
}

// fromFile reports whether a handler is one of [observatory.handlers].
func (c *Config) fromFile(r handler.Registration) bool {
	for _, h := range c.Handlers {
		if h.Name == r.Name {
			return true
		}
	}
	return false
}

// dispatcherName is the handler's name that all commands of a category share.
func dispatcherName(category string) string {
	return "protean.server.engine.Commands:" + message.CommandCategory(category)
}
