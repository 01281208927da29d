package config

import (
	"cmp"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Type is where a subscription reads.
type Type string

// The types of subscription that a file can ask for.
const (
	// TypeStream reads a stream of a broker, through a consumer group.
	TypeStream Type = "stream"
	// TypeEventStore reads a category of the event store, by position.
	TypeEventStore Type = "event_store"
)

// layer is what one place says of a subscription. Layers lie over each other:
// what one leaves out shows through from the next.
type layer struct {
	origin  string         // the place, for people
	profile string         // the profile that it names, in lower case; "" for none
	set     map[string]any // values by key
}

// layers are all places of a file that say something of subscriptions.
type layers struct {
	// server is what the file sets for every subscription, store how it has those to
	// the event store tried again, and broker what it sets for broker subscribers.
	server []layer
	store  layer
	broker layer
	// defaultProfile is "" where the file names none.
	defaultProfile string
	// profiles are the built-in ones and the file's own, by name in lower case:
	// the values of each, over those of its base.
	profiles     map[string][]layer
	profileNames []string
	// subscriptions are [server.subscriptions.<name>], by a handler's short name.
	subscriptions map[string]layer
	// handlers are [observatory.handlers.<name>].
	handlers map[string]layer
}

func newLayers(root section, read map[string]values) layers {
	server := root.at("server")
	l := layers{
		profiles:      newProfiles(server.at("profiles"), read),
		subscriptions: map[string]layer{}, handlers: map[string]layer{},
		broker: layerOf("server.broker_subscription", read["server.broker_subscription"]),
	}
	l.profileNames = namesOf(l.profiles)
	for _, name := range []string{"server", "server.stream_subscription", "server.event_store_subscription"} {
		l.server = append(l.server, layerOf(name, read[name]))
	}
	ofStore := l.server[2]
	l.store = layer{origin: ofStore.origin, set: map[string]any{}}
	for _, key := range []string{"max_retries", "retry_delay_seconds"} {
		if value, given := ofStore.set[key]; given {
			l.store.set[key] = value
			delete(ofStore.set, key)
		}
	}
	if name, given := read["server"].given["default_subscription_type"]; given {
		l.server[0].set["subscription_type"] = name
	}
	l.defaultProfile = l.profileNamed(server, "default_subscription_profile")
	for name, s := range server.at("subscriptions").named() {
		l.subscriptions[name] = l.read(s, read[s.name])
	}
	for name, s := range root.at("observatory").at("handlers").named() {
		own := l.readDelivered(s, read[s.name])
		if own.set["start"] == "end" && own.set["subscription_type"] == string(TypeEventStore) {
			s.warnStart()
		}
		l.handlers[name] = own
	}
	return l
}

// layerOf takes the keys of a subscription out of a section's values.
func layerOf(name string, v values) layer {
	l := layer{origin: "[" + name + "]", set: map[string]any{}}
	for key, value := range v.given {
		if r := places[inSubscriptions].rows[key]; r != nil && r == v.place.rows[key] {
			l.set[key] = value
		}
	}
	return l
}

// read reads the section of one handler, and reports settings that exclude
// each other.
func (l layers) read(s section, v values) layer {
	own := l.readDelivered(s, v)
	if own.set["start"] == "end" && l.typeByFile(own) == TypeEventStore {
		s.warnStart()
	}
	return own
}

// warnStart warns of a start that an event store does not have.
func (s section) warnStart() {
	s.warnNotBuilt("start", "an event_store subscription begins at the beginning of its category")
}

// readDelivered is the part of read that a handler of the file has, whose type is
// stream unless its section says otherwise.
func (l layers) readDelivered(s section, v values) layer {
	own := layerOf(s.name, v)
	own.profile = l.profileNamed(s, "profile")
	if own.set["subscription_type"] == string(TypeEventStore) && own.set["retention_maxlen"] != nil {
		s.bad("retention_maxlen", "expected none: an event_store subscription has no stream to trim")
	}
	return own
}

// typeByFile is the type of the subscriptions of a section, as far as the file
// decides it.
func (l layers) typeByFile(own layer) Type {
	profile := own.profile
	if profile == "" {
		profile = l.defaultProfile
	}
	above := append([]layer{own}, l.server...)
	if own.profile != "" {
		above = append(append([]layer{own}, l.profiles[profile]...), l.server...)
	}
	return cmp.Or(typeOf(append(above, l.profiles[profile]...)...), TypeEventStore)
}

// typeOf is the type that the first layer to set one sets; "" where none does.
func typeOf(strongestFirst ...layer) Type {
	for _, l := range strongestFirst {
		if t, given := l.set["subscription_type"].(string); given {
			return Type(t)
		}
	}
	return ""
}

// streamByDefault reports whether the file makes `stream` the type of handlers
// that do not say.
func (l layers) streamByDefault() bool {
	return l.server[0].set["subscription_type"] == string(TypeStream)
}

// Resolved are the settings of one handler's subscriptions, all of them
// decided.
type Resolved struct {
	// Type says where the subscriptions read.
	Type Type
	// Settings are those that have an effect, in the order of the table of keys.
	Settings []Setting

	all decisions
}

// decisions are the values of all keys of a subscription.
type decisions map[string]decision

// decision is a value, nil where there is none, and the place that decided it.
type decision struct {
	value  any
	origin string
}

// force sets a value that no place may decide otherwise.
func (d decisions) force(key string, value any, origin string) {
	if d[key].value != value {
		d[key] = decision{value, origin}
	}
}

// Setting is one resolved setting of a subscription. It holds no secret.
type Setting struct {
	// Key is the key as a file has it.
	Key string
	// Value is the value as a file has it; "" where nothing holds.
	Value string
	// Origin is the place that decided: a section of the file in brackets, the
	// name of a profile, "options of the handler" or "default".
	Origin string
}

// Config returns the configuration of a subscription with these settings; the
// handler, group and stream are the caller's to set.
func (r Resolved) Config() subscription.Config {
	var c subscription.Config
	for _, row := range settings {
		if value := r.all[row.name].value; value != nil && row.sets != nil {
			row.sets.set(&c, value)
		}
	}
	return c
}
