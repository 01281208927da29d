package domain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a configuration. [Load] and [Parse] find them all and
// return them joined: errors.As reaches the first, Unwrap() []error all.
type Error struct {
	File    string
	Section string // the table's dotted name, without brackets; "" at top level
	Key     string // "" where the whole section is meant
	// Value is what stands there, as text, secrets masked; "" where nothing does.
	Value    string
	Expected string
	// Nearest is the valid name that looks most like a name which is not; "" if
	// none is near.
	Nearest string
}

// Error names the file, the section and key, the value, what was expected, and
// the nearest valid name.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	b.WriteString(": ")
	if e.Section != "" {
		fmt.Fprintf(&b, "[%s] ", e.Section)
	}
	b.WriteString(e.Key)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %s", e.Value)
	}
	text := strings.TrimRight(b.String(), " ") + ": " + e.Expected
	if e.Nearest != "" {
		text += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return text
}

// Warning is something in a configuration that does not stop a program, and
// that its operator should know.
type Warning struct {
	// Code is one of the Code constants.
	Code    string
	Section string
	Key     string
	Text    string
}

// The codes of warnings.
const (
	// CodeLowPoolSize: a database's pool is smaller than the default.
	CodeLowPoolSize = "LOW_POOL_SIZE"
	// CodeUnknownKey: a key that nobody reads, perhaps misspelt.
	CodeUnknownKey = "UNKNOWN_KEY"
	// CodePythonOnly: a value that only the Python framework can use.
	CodePythonOnly = "PYTHON_ONLY"
	// CodeNotBuilt: accepted, and without effect in this release.
	CodeNotBuilt = "NOT_BUILT"
)

// String is the warning on one line.
func (w Warning) String() string {
	if w.Code == CodeLowPoolSize {
		return w.Text
	}
	return strings.TrimSpace(fmt.Sprintf("[%s] %s", w.Section, w.Key)) + ": " + w.Text
}

// problems collects what is found while one file is read.
type problems struct {
	file     string
	errs     []*Error
	warnings []Warning
}

func (p *problems) add(e Error) {
	e.File = p.file
	p.errs = append(p.errs, &e)
}

// warn keeps one warning for each key. A key of subscriptions that many sections
// repeat is warned of once.
func (p *problems) warn(code, section, key, text string) {
	_, repeats := settingKeys[key]
	said := slices.ContainsFunc(p.warnings, func(w Warning) bool {
		return w.Code == code && w.Key == key && (repeats || w.Section == section)
	})
	if !said {
		p.warnings = append(p.warnings, Warning{Code: code, Section: section, Key: key, Text: text})
	}
}

// err joins what was found, in the order of sections and keys.
func (p *problems) err() error {
	slices.SortStableFunc(p.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Key, b.Key))
	})
	joined := make([]error, len(p.errs))
	for i, e := range p.errs {
		joined[i] = e
	}
	return errors.Join(joined...)
}
