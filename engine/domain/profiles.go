package domain

import (
	"maps"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/engine/subscription"
)

func builtin() []string {
	var names []string
	for _, p := range subscription.Profiles() {
		names = append(names, string(p))
	}
	return names
}

// readProfiles reads [server.profiles]: profiles of the file's own, each over a
// built-in one or over the defaults. Their names do not mind case.
func readProfiles(s section) map[string]subscription.Settings {
	all := map[string]subscription.Settings{}
	for _, name := range s.keys() {
		lower := strings.ToLower(name)
		if slices.Contains(builtin(), lower) {
			s.add(Error{Section: s.name, Key: name, Expected: "expected another name: this profile is built in"})
			continue
		}
		all[lower] = readProfile(s.at(name))
	}
	return all
}

func readProfile(s section) subscription.Settings {
	known := append(slices.Sorted(maps.Keys(settingKeys)), "inherits")
	for _, key := range s.keys() {
		if !slices.Contains(known, key) {
			s.add(Error{
				Section: s.name, Key: key, Value: s.shown(key),
				Expected: "expected a key of a subscription", Nearest: nearest(key, known),
			})
		}
	}
	base := hard()
	if name, ok := s.oneOf("inherits", builtin()...); ok {
		base, _ = subscription.Profile(name).Settings()
	}
	return s.settings().Over(base)
}

// hard are the defaults that a profile without a base starts from: those of the
// reference's fields, without what no profile sets.
func hard() subscription.Settings {
	d := subscription.Defaults()
	return subscription.Settings{
		Type: d.Type, MessagesPerTick: d.MessagesPerTick, TickInterval: d.TickInterval,
		BlockingTimeout: d.BlockingTimeout, MaxRetries: d.MaxRetries, RetryDelay: d.RetryDelay,
		EnableDLQ: d.EnableDLQ, PositionInterval: d.PositionInterval,
	}
}

// profile reads the name of a profile, and checks that there is one.
func (s section) profile(key string, custom map[string]subscription.Settings) string {
	name, ok := s.text(key)
	if !ok {
		return ""
	}
	lower := strings.ToLower(name)
	if _, ok := profileSettings(lower, custom); ok {
		return lower
	}
	s.badName(key, name, append(builtin(), slices.Sorted(maps.Keys(custom))...))
	return ""
}

// profileSettings returns what a profile sets, by its name in lower case.
func profileSettings(name string, custom map[string]subscription.Settings) (subscription.Settings, bool) {
	if own, ok := custom[name]; ok {
		return own, true
	}
	return subscription.Profile(name).Settings()
}

// profile returns what a profile sets whose name was checked; "" sets nothing.
func (s server) profile(name string) subscription.Settings {
	set, _ := profileSettings(name, s.profiles)
	return set
}
