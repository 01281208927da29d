package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// section is one table of the file. What is wrong in it is reported, and counts
// as not given.
type section struct {
	name string // dotted
	tree map[string]any
	*problems
}

// at returns a table inside the section, empty where it is not given.
func (s section) at(key string) section {
	inside := section{name: s.path(key), problems: s.problems}
	switch v := s.tree[key].(type) {
	case nil:
	case map[string]any:
		inside.tree = v
	case string, *expanded: // it may be a secret without its name
		s.add(Error{Section: s.name, Key: key, Value: masked, Expected: "expected a table"})
	default:
		s.bad(key, "expected a table")
	}
	return inside
}

// find returns the sections of a pattern: the one of that dotted name, or all
// the tables inside the section before its "*", in the order of their names.
func (s section) find(pattern string) []section {
	if pattern == "" {
		return []section{s}
	}
	key, rest, _ := strings.Cut(pattern, ".")
	if key != "*" {
		return s.at(key).find(rest)
	}
	all := make([]section, 0, len(s.tree))
	for _, key := range s.keys() {
		all = append(all, s.at(key))
	}
	return all
}

// values are what a section sets, by the table's row for each key.
type values struct {
	place *place
	given map[string]any
}

// get returns the value of a key, else its default, else the zero value. It
// panics for a key that the table does not have in that section.
func get[T any](v values, key string) T {
	value, given := v.given[key]
	if !given {
		value = v.place.rows[key].defaultValue
	}
	typed, _ := value.(T)
	return typed
}

// read reads every key of the section, and reports each that the table does
// not have there.
func (s section) read(pattern string) values {
	v := values{place: places[pattern], given: map[string]any{}}
	for _, key := range s.keys() {
		r, known := v.place.rows[key]
		switch {
		case known:
			if value := r.kind.read(s, key); value != nil {
				v.given[key] = value
				s.warnNoEffect(r, value)
			}
		case !v.place.anyName && !slices.Contains(v.place.names, key):
			s.unknown(v.place, key)
		}
	}
	return v
}

// readAll reads every section of the file, by its dotted name: those that there
// is one of, then those with names of the file's own, so that a warning that
// repeats names the section for all where there is one.
func (s section) readAll() map[string]values {
	patterns := slices.DeleteFunc(slices.Collect(maps.Keys(places)), func(p string) bool { return p == inOptions })
	slices.SortFunc(patterns, func(a, b string) int {
		return cmp.Or(strings.Count(a, "*")-strings.Count(b, "*"), cmp.Compare(a, b))
	})
	all := map[string]values{}
	for _, pattern := range patterns {
		for _, in := range s.find(pattern) {
			all[in.name] = in.read(pattern)
		}
	}
	return all
}

// unknown reports a key that the table does not have in a section: an error in
// a profile and in a program's options, and for a table that is almost one that is read; else a
// warning.
func (s section) unknown(p *place, key string) {
	if p.pattern == inProfiles || p.pattern == inOptions {
		s.add(Error{Section: s.name, Key: key, Expected: "expected a key of a subscription", Nearest: nearest(key, p.names)})
		return
	}
	if p.pattern == "" { // names of environments stand there: see [warnMisspelt]
		return
	}
	if place := s.misplaced(key); place != "" && slices.Contains([]string{"server", "observatory"}, p.pattern) {
		s.add(Error{Section: s.path(key), Expected: "is not read here: expected it as [" + place + "]"})
		return
	}
	text := "unknown key"
	if p.pattern == "databases.*" {
		text += ", passed to SQLAlchemy only"
	}
	near := nearest(key, p.names)
	if _, isTable := s.tree[key].(map[string]any); isTable && slices.Contains([]string{"server", "observatory"}, p.pattern) &&
		near != "" && distance(key, near) <= 2 && places[p.pattern+"."+near] != nil {
		s.add(Error{Section: s.path(key), Expected: "is not the name of a table", Nearest: near})
		return
	}
	switch {
	case places[inSubscriptions].rows[key] != nil:
		text += "; it is a key of [server.subscriptions.<Handler>]"
	case near != "":
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	s.warn(CodeUnknownKey, s.name, key, text)
}

// Section is the dotted name of a table inside a section, as a file spells it.
func Section(in, name string) string { return section{name: in}.path(name) }

func (s section) keys() []string { return slices.Sorted(maps.Keys(s.tree)) }

func (s section) has(key string) bool { return s.tree[key] != nil }

func (s section) path(key string) string {
	if strings.ContainsAny(key, ".: ") {
		key = strconv.Quote(key)
	}
	if s.name == "" {
		return key
	}
	return s.name + "." + key
}

// bad reports the value of a key, and what was expected instead; not once more
// where its references could not be filled in.
func (s section) bad(key, expected string, args ...any) {
	if e, ok := s.tree[key].(*expanded); ok && e.failed {
		return
	}
	s.add(Error{Section: s.name, Key: key, Value: s.shown(key), Expected: fmt.Sprintf(expected, args...)})
}

// badName reports a value that is none of the valid names.
func (s section) badName(key, got string, names []string) {
	if e, ok := s.tree[key].(*expanded); ok && e.failed {
		return
	}
	near, shown := nearest(got, names), s.shown(key)
	if near == "" && key == "provider" { // what belongs beside it may stand there
		shown = masked
	}
	s.add(Error{Section: s.name, Key: key, Value: shown, Expected: "expected one of " + enumerate(names), Nearest: near})
}

// enumerate lists names, of many the first.
func enumerate(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// missing reports a key that must be there.
func (s section) missing(key, expected string) {
	s.add(Error{Section: s.name, Key: key, Expected: "is missing: " + expected})
}

// shown is the value of a key for people. HTTP headers are all taken for
// secrets, and so is a parameter of a URL that is none of its values.
func (s section) shown(key string) string {
	if strings.HasSuffix(s.name, ".headers") && s.has(key) {
		return masked
	}
	if value, isText := s.tree[key].(string); isText && strings.HasSuffix(s.name, ".URI") && !showsParameter(key+"="+value) {
		return masked
	}
	return show(key, s.tree[key])
}

// reread returns a function that reads a text again whenever it is called, so
// that a rotated secret is found.
func (s section) reread(key string) func() (string, error) {
	if v, ok := s.tree[key].(*expanded); ok {
		return func() (string, error) {
			text, err := v.again()
			if err != nil {
				return "", fmt.Errorf("%s: [%s] %s: %w", s.file, s.name, key, err)
			}
			return text, nil
		}
	}
	text, _ := s.tree[key].(string)
	return func() (string, error) { return text, nil }
}
