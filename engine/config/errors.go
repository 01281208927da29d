package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// InvalidError is why a configuration was refused: all its mistakes, and the
// warnings beside them, which often say what was meant. errors.As reaches the
// first mistake.
type InvalidError struct {
	// Mistakes are in the order of sections and keys; there is at least one.
	Mistakes []*Error
	// Warnings are those that the configuration would have had.
	Warnings []Warning
	// Environment and Overlaid are those of the configuration.
	Environment string
	Overlaid    bool
}

// Error is a line for each mistake, then one for each warning.
func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Mistakes)+len(e.Warnings))
	for _, m := range e.Mistakes {
		lines = append(lines, m.Error())
	}
	for _, w := range e.Warnings {
		lines = append(lines, "warning: "+w.String())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes.
func (e *InvalidError) Unwrap() []error {
	all := make([]error, len(e.Mistakes))
	for i, m := range e.Mistakes {
		all[i] = m
	}
	return all
}

// Error is one mistake in a configuration.
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
	text := strings.TrimRight(b.String(), ": ") + ": " + e.Expected
	return text + didYouMean(e.Nearest)
}

// didYouMean is the end of an error that knows a name which is near; "" for none.
func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", name)
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
	// CodeUnknownKey: a key that is not known, perhaps misspelt.
	CodeUnknownKey = "UNKNOWN_KEY"
	// CodePythonOnly: a value that only the Python framework can use.
	CodePythonOnly = "PYTHON_ONLY"
	// CodeInMemory: what is configured is kept in the memory of one process, where
	// another server seems to be meant.
	CodeInMemory = "IN_MEMORY"
	// CodeNoEnvironment: PROTEAN_ENV names an environment that the file has no
	// table for, while it has tables for others.
	CodeNoEnvironment = "NO_ENVIRONMENT"
	// CodePercentEncoded: what a reference of a URL holds looks percent-encoded,
	// and is taken as it stands.
	CodePercentEncoded = "PERCENT_ENCODED"
	// CodeNoEffect: a value that is not used beside what else the file says, or that
	// is taken otherwise than it may have been meant.
	CodeNoEffect = "NO_EFFECT"
	// CodeNotBuilt: accepted, and without effect in this release, or in a program
	// that has no adapter for it.
	CodeNotBuilt = "NOT_BUILT"
)

// String is the warning on one line.
func (w Warning) String() string {
	if w.Code == CodeLowPoolSize {
		return w.Text
	}
	if w.Section == "" {
		return w.Key + ": " + w.Text
	}
	return strings.TrimSpace(fmt.Sprintf("[%s] %s", w.Section, w.Key)) + ": " + w.Text
}

// problems collects what is found while one file is read.
type problems struct {
	file        string
	environment string
	overlaid    bool
	errs        []*Error
	warnings    []Warning
	reported    map[any]bool       // of both
	mistaken    map[[2]string]bool // section and key of each mistake
}

// markReported keeps that a problem is reported, and returns whether it was not
// before.
func (p *problems) markReported(problem any) (added bool) {
	if p.reported == nil {
		p.reported = map[any]bool{}
	}
	added = !p.reported[problem]
	p.reported[problem] = true
	return added
}

// add keeps each mistake once, however often the key is read.
func (p *problems) add(e Error) {
	e.File = p.file
	if p.markReported(e) {
		p.errs = append(p.errs, &e)
		if p.mistaken == nil {
			p.mistaken = map[[2]string]bool{}
		}
		p.mistaken[[2]string{e.Section, e.Key}] = true
	}
}

// warn keeps one warning of each code for each key.
func (p *problems) warn(code, section, key, text string) {
	if p.markReported([3]string{code, section, key}) {
		p.warnings = append(p.warnings, Warning{Code: code, Section: section, Key: key, Text: text})
	}
}

// err is what was found, in the order of sections and keys; nil if there is no
// mistake.
func (p *problems) err() error {
	slices.SortStableFunc(p.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Key, b.Key))
	})
	slices.SortStableFunc(p.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.Key, b.Key))
	})
	if len(p.errs) == 0 {
		return nil
	}
	return &InvalidError{Mistakes: p.errs, Warnings: p.warnings, Environment: p.environment, Overlaid: p.overlaid}
}
