package config

import (
	"maps"
	"slices"
	"strings"
)

// newProfiles are the built-in profiles, a column of the table each, and those
// of [server.profiles]: each over a built-in one, or over the defaults of what
// built-in profiles set. Names do not mind case.
func newProfiles(s section, read map[string]values) map[string][]layer {
	all := map[string][]layer{}
	base := layer{origin: originDefault, set: map[string]any{}}
	for column, name := range builtinProfiles {
		l := layer{origin: "profile " + name, set: map[string]any{}}
		for _, r := range settings {
			if r.profiles != nil {
				l.set[r.name] = r.profiles[column]
				base.set[r.name] = r.defaultValue
			}
		}
		all[name] = []layer{l}
	}
	base.set["subscription_type"] = string(TypeStream) // a profile that does not say is of streams, as in Python

	for _, name := range s.keys() {
		lower := strings.ToLower(name)
		if slices.Contains(builtinProfiles, lower) {
			s.add(Error{Section: s.name, Key: name, Expected: "expected another name: this profile is built in"})
			continue
		}
		in := s.at(name)
		below := []layer{base}
		if inherited := get[string](read[in.name], "inherits"); inherited != "" {
			below = all[inherited]
		}
		all[lower] = append([]layer{layerOf(in.name, read[in.name])}, below...)
	}
	return all
}

// profileNamed reads the name of a profile, and reports one that does not
// exist.
func (l layers) profileNamed(s section, key string) string {
	name, ok := s.text(key)
	if !ok {
		return ""
	}
	lower := strings.ToLower(name)
	if _, known := l.profiles[lower]; known {
		return lower
	}
	s.badName(key, name, l.profileNames)
	return ""
}

// namesOf are the names of profiles, those that are built in first.
func namesOf(profiles map[string][]layer) []string {
	own := slices.DeleteFunc(slices.Sorted(maps.Keys(profiles)), func(name string) bool { return slices.Contains(builtinProfiles, name) })
	return slices.Concat(slices.Sorted(slices.Values(builtinProfiles)), own)
}
