package domain

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// section reads one table of the file. Its methods convert a value to the type
// that is wanted, text included, since a value of `${VAR}` is text; what is of
// the wrong kind or out of range is reported, and counts as not given.
type section struct {
	name string // dotted
	tree map[string]any
	*problems
}

// at returns a table inside the section, empty where it is not given.
func (s section) at(key string) section {
	in := section{name: s.path(key), problems: s.problems}
	switch v := s.tree[key].(type) {
	case nil:
	case map[string]any:
		in.tree = v
	default:
		s.bad(key, "expected a table")
	}
	return in
}

// tables are the tables inside the section, in the order of their names.
func (s section) tables() []section {
	var all []section
	for _, key := range s.keys() {
		if in := s.at(key); in.tree != nil {
			all = append(all, in)
		}
	}
	return all
}

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
// where its variables could not be filled in.
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
	s.add(Error{
		Section: s.name, Key: key, Value: s.shown(key),
		Expected: "expected one of " + strings.Join(names, ", "), Nearest: nearest(got, names),
	})
}

// shown is the value of a key for people. HTTP headers are all taken for
// secrets.
func (s section) shown(key string) string {
	if strings.HasSuffix(s.name, ".headers") && s.has(key) {
		return masked
	}
	return show(key, s.tree[key])
}

// missing reports a key that must be there.
func (s section) missing(key, expected string) {
	s.add(Error{Section: s.name, Key: key, Expected: "is missing: " + expected})
}

// unknown warns of keys that are not in known, saying what was meant if it can.
func (s section) unknown(known []string, what string) {
	for _, key := range s.keys() {
		if slices.Contains(known, key) {
			continue
		}
		text := what
		if _, elsewhere := settingKeys[key]; elsewhere {
			text += "; it is a key of [server.subscriptions.<Handler>]"
		} else if near := nearest(key, known); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		s.warn(CodeUnknownKey, s.name, key, text)
	}
}

// fresh returns a function that reads a text again whenever it is called, so
// that a rotated secret is found.
func (s section) fresh(key string) func() (string, error) {
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
