package config

import "slices"

// Key is what the table of keys says of one key, for pages about it.
type Key struct {
	// Sections are where the key may stand: dotted names, "*" for any name, ""
	// for the top level, and "options" for those of a handler in Go.
	Sections []string
	Name     string
	// Type says in words what the value must be; "" where only Python reads it.
	Type string
	// Default is in Markdown; "none" where there is none.
	Default string
	// Help is the key's meaning, in Markdown; "" for a key that a page names in
	// its prose, if at all.
	Help string
	// Profiles are the values of the built-in profiles, in the order of
	// [BuiltinProfiles]; nil where they set none.
	Profiles []string
}

// BuiltinProfiles are the names of the profiles that exist without being
// defined.
func BuiltinProfiles() []string { return slices.Clone(builtinProfiles) }

// Keys returns all keys, in the order of the table.
func Keys() []Key {
	all := make([]Key, len(table))
	for i, r := range table {
		k := Key{Sections: slices.Clone(r.in), Name: r.name, Type: r.kind.want, Default: r.defaultText, Help: r.help}
		switch {
		case k.Default != "":
		case r.defaultValue != nil:
			k.Default = "`" + r.kind.show(r.defaultValue) + "`"
		default:
			k.Default = "none"
		}
		for _, value := range r.profiles {
			k.Profiles = append(k.Profiles, r.kind.show(value))
		}
		all[i] = k
	}
	return all
}
