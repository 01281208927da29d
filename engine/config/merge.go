package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// defaults are the adapters that every domain has, whatever its file says.
// Every other default stands in the table of keys, so that a value of the file
// can be told from one that is not there.
func defaults() map[string]any {
	memory := func() map[string]any { return map[string]any{"provider": "memory"} }
	return map[string]any{
		"databases":   map[string]any{"default": memory(), "memory": memory()},
		"brokers":     map[string]any{"default": map[string]any{"provider": "inline"}},
		"caches":      map[string]any{"default": memory()},
		"event_store": memory(),
	}
}

// forEnvironment makes of a file's table what holds in an environment: its known
// keys over the defaults, the environment's table over both, references filled
// in. Other names at top level are dropped, as in Python.
func forEnvironment(file map[string]any, environment string, env lookup, p *problems) map[string]any {
	known := maps.Clone(file)
	maps.DeleteFunc(known, func(key string, _ any) bool { return !slices.Contains(places[""].names, key) })
	root := section{tree: file, problems: p}
	warnMisspelt(root, environment)
	if overlay, ok := overlayOf(file, environment); ok {
		known = merge(known, overlay)
		warnMisspelt(root.at(environment), "")
	} else {
		warnOtherEnvironment(root, environment)
	}
	for _, family := range []string{"brokers", "databases"} {
		if servers, isTable := known[family].(map[string]any); isTable {
			refuseMisspeltDefault(section{name: family, tree: servers, problems: p})
		}
	}
	refuseForgottenProvider(section{tree: known, problems: p})
	tree := merge(defaults(), known)
	expandTable(section{tree: tree, problems: p}, env)
	return tree
}

// overlayOf is the table of an environment; not ok where there is none.
func overlayOf(file map[string]any, environment string) (table map[string]any, ok bool) {
	table, ok = file[environment].(map[string]any)
	return table, ok && environment != ""
}

// warnOtherEnvironment warns of an environment that the file has no table for
// while it has those of others: production is not "prod". Protean's names for
// what is no production are meant without a table, unless one is near.
func warnOtherEnvironment(root section, environment string) {
	var others []string
	for _, key := range root.keys() {
		table, isTable := root.tree[key].(map[string]any)
		overlays := func(name string) bool { return table[name] != nil }
		if isTable && !slices.Contains(places[""].names, key) && slices.ContainsFunc(places[""].names, overlays) {
			others = append(others, key)
		}
	}
	near := nearest(environment, others)
	for _, other := range others { // one is the other's beginning
		short, long := strings.ToLower(environment), strings.ToLower(other)
		if len(short) > len(long) {
			short, long = long, short
		}
		if len(short) > 1 && strings.HasPrefix(long, short) {
			near = other
		}
	}
	if environment == "" || len(others) == 0 || near == "" && (environment == "development" || environment == "testing") {
		return
	}
	root.warn(CodeNoEnvironment, "", "PROTEAN_ENV", fmt.Sprintf("the file has no table for %q, so that what it says for all environments holds; it has tables for %s%s",
		environment, enumerate(others), didYouMean(near)))
}

// warnMisspelt warns of names at top level, of the file or of its environment's
// table, that look like one that is known. Of a table without which the file
// would mean something else, such as its brokers, it is a mistake.
func warnMisspelt(s section, environment string) {
	known := places[""].names
	for _, key := range s.keys() {
		if place := s.misplaced(key); place != "" && key != environment {
			s.add(Error{Section: s.path(key), Expected: "is not read here: expected it as [" + place + "]"})
			continue
		}
		near := nearest(key, known)
		if near == "" || key == environment || slices.Contains(known, key) || distance(key, near) > 2 {
			continue
		}
		if _, isTable := s.tree[key].(map[string]any); isTable && slices.Contains(vitalTables, near) {
			s.add(Error{Section: s.path(key), Expected: "is not the name of a table", Nearest: near})
			continue
		}
		s.warn(CodeUnknownKey, s.path(key), "", fmt.Sprintf("unknown key; did you mean %q?", near))
	}
}

// misplaced is where a table belongs that has the name of one of the tables inside
// [observatory] or [server], and stands elsewhere; "" for another.
func (s section) misplaced(key string) string {
	if _, isTable := s.tree[key].(map[string]any); !isTable {
		return ""
	}
	for _, above := range []string{"observatory", "server"} {
		if inside := above + "." + key; places[inside] != nil {
			return inside
		}
	}
	return ""
}

// vitalTables say what runs, and on which servers: a file whose table is
// misspelt would run without.
var vitalTables = []string{"brokers", "caches", "databases", "event_store", "observatory", "server"}

// refuseMisspeltDefault reports a table of servers that is called almost
// "default", where none is: the one in memory would be taken for it.
func refuseMisspeltDefault(s section) {
	if s.has("default") {
		return
	}
	for _, key := range s.keys() {
		if _, isTable := s.tree[key].(map[string]any); isTable && nearest(key, []string{"default"}) != "" {
			s.add(Error{
				Section:  s.path(key),
				Expected: fmt.Sprintf("there is no [%s], which is the one that is used: give this table that name", s.path("default")),
			})
		}
	}
}

// refuseForgottenProvider reports a server's URL without the provider beside it:
// the one in memory would be taken, and the URL would not be used.
func refuseForgottenProvider(root section) {
	refuse := func(s section, key, provider string) {
		if s.has(key) && !s.has("provider") {
			s.add(Error{
				Section: s.name, Key: key, Value: s.shown(key),
				Expected: fmt.Sprintf("expected the provider beside it, such as provider = %q; without one all is kept in memory, and the URL is not used", provider),
			})
		}
	}
	for _, family := range []struct{ name, key, provider string }{
		{"brokers", "URI", "redis"}, {"databases", "database_uri", "postgresql"}, {"caches", "URI", "redis"},
	} {
		servers, _ := root.tree[family.name].(map[string]any)
		for name, tree := range servers {
			if tree, isTable := tree.(map[string]any); isTable {
				refuse(section{name: section{name: family.name}.path(name), tree: tree, problems: root.problems}, family.key, family.provider)
			}
		}
	}
	if store, isTable := root.tree["event_store"].(map[string]any); isTable {
		refuse(section{name: "event_store", tree: store, problems: root.problems}, "database_uri", "message_db")
	}
}

// merge lays one table over another: tables merge, everything else replaces.
// Neither is changed.
func merge(below, above map[string]any) map[string]any {
	merged := maps.Clone(below)
	for key, value := range above {
		over, isTable := value.(map[string]any)
		under, wasTable := merged[key].(map[string]any)
		switch {
		case isTable && wasTable:
			merged[key] = merge(under, over)
		case isTable:
			merged[key] = merge(map[string]any{}, over)
		default:
			merged[key] = value
		}
	}
	return merged
}

// expandTable expands the texts of a table in place, those of tables inside
// arrays included.
func expandTable(s section, env lookup) {
	for _, key := range s.keys() {
		s.tree[key] = expandValue(s, key, s.tree[key], env)
	}
}

func expandValue(s section, key string, value any, env lookup) any {
	switch v := value.(type) {
	case string:
		return expandText(s, key, v, env)
	case map[string]any:
		expandTable(section{name: s.path(key), tree: v, problems: s.problems}, env)
	case []map[string]any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = expandValue(s, fmt.Sprintf("%s[%d]", key, i), v[i], env)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = expandValue(s, fmt.Sprintf("%s[%d]", key, i), v[i], env)
		}
		return all
	}
	return value
}

func expandText(s section, key, text string, env lookup) any {
	if !strings.Contains(text, "${") {
		return text
	}
	filled, err := expand(text, env)
	for _, err := range unjoin(err) {
		s.add(Error{Section: s.name, Key: key, Value: s.shown(key), Expected: err.Error()})
	}
	return &expanded{raw: text, text: filled, env: env, failed: err != nil}
}

// unjoin returns the errors that were joined.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, unjoin(e)...)
	}
	return all
}
