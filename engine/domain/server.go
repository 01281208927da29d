package domain

import (
	"slices"

	"github.com/observatory-go/observatory/engine/subscription"
)

// server is [server], as far as subscriptions go.
type server struct {
	// set is what the file itself sets for every subscription.
	set subscription.Settings
	// broker is what it sets for broker subscribers.
	broker subscription.Settings
	// defaultProfile is "" where the file names none.
	defaultProfile string
	profiles       map[string]subscription.Settings // the file's own, names in lower case
	subscriptions  map[string]layer                 // by a handler's short name
}

func readServer(s section) server {
	profiles := readProfiles(s.at("profiles"))
	v := server{
		set:            readSet(s),
		broker:         s.at("broker_subscription").only(brokerSubscriptionKeys).settings(),
		defaultProfile: s.profile("default_subscription_profile", profiles),
		profiles:       profiles,
		subscriptions:  map[string]layer{},
	}
	for name, in := range s.at("subscriptions").named() {
		v.subscriptions[name] = in.layer(profiles)
		in.check(v.subscriptions[name].own)
	}
	return v
}

// readSet reads what [server] and its section of stream subscriptions set for
// all. Only what the file itself holds counts: a default profile yields to it.
func readSet(s section) subscription.Settings {
	set := s.only([]string{"messages_per_tick", "tick_interval"}).settings()
	set = set.Over(s.at("stream_subscription").only(streamKeys).settings())
	set = set.Over(s.at("event_store_subscription").only([]string{"position_update_interval"}).settings())
	if name, ok := s.oneOf("default_subscription_type", string(subscription.TypeStream), string(subscription.TypeEventStore)); ok {
		set.Type = new(subscription.Type(name))
	}
	return set
}

// only is the section without other keys than these.
func (s section) only(keys []string) section {
	tree := map[string]any{}
	for key, value := range s.tree {
		if slices.Contains(keys, key) {
			tree[key] = value
		}
	}
	s.tree = tree
	return s
}

// check reports what one section asks for and cannot have.
func (s section) check(own subscription.Settings) {
	if or(own.Type, "") == subscription.TypeEventStore && own.RetentionMaxLen != nil {
		s.bad("retention_maxlen", "expected none: an event_store subscription has no stream to trim")
	}
}

// checkOutbox refuses an outbox that nobody would read from.
func checkOutbox(root section, v server) {
	if or(root.bool("enable_outbox"), false) && or(v.set.Type, subscription.TypeEventStore) == subscription.TypeEventStore {
		root.bad("enable_outbox", `expected false, or [server] default_subscription_type = "stream": event_store subscriptions do not read what an outbox publishes`)
	}
}
