package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/observatory-go/observatory/engine/adapters"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
)

// Report is what Check found, as Protean's check prints it.
type Report struct {
	Counts      Counts       `json:"counts"`
	Diagnostics []Diagnostic `json:"diagnostics"`
	Domain      string       `json:"domain"`
	Status      string       `json:"status"` // pass, warn or fail
}

// Counts are how many diagnostics there are of each level.
type Counts struct {
	Errors   int `json:"errors"`
	Infos    int `json:"infos"`
	Warnings int `json:"warnings"`
}

// Diagnostic is one finding.
type Diagnostic struct {
	Code    string `json:"code"`
	Element string `json:"element"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// Check finds all that is wrong with a configuration, without contacting a
// server. The error is that there is no configuration to check.
func Check(o Options) (*Report, error) {
	taken, err := choose(Options{ConfigPath: o.ConfigPath})
	mistake, refused := errors.AsType[*config.Error](err)
	if err != nil && !refused {
		return nil, err
	}
	if err == nil && taken.sample {
		return nil, errors.New("no configuration file found: " + taken.origin + "; name one with --config")
	}
	r := &Report{Diagnostics: []Diagnostic{}}
	if refused {
		r.Domain = cmp.Or(o.ConfigPath, mistake.File)
		r.warn(warningsOf(err))
	} else {
		r.Domain, err = r.tryOpen(taken)
	}
	r.fail(err)
	r.Status = r.status()
	return r, nil
}

// tryOpen opens the domain far enough to find what its handlers need and do
// not have. Adapters do not connect before they are used.
func (r *Report) tryOpen(c chosen) (name string, err error) {
	r.warn(c.Warnings)
	quiet := slog.New(slog.DiscardHandler)
	d, err := domain.Open(context.Background(), c.Config, adapters.All(), domain.WithLogger(quiet))
	if err != nil {
		return c.Path, err
	}
	r.warn(d.Warnings())
	_, err = d.Config()
	return d.Name(), errors.Join(err, d.Close(context.Background()))
}

// warningsOf are the warnings of a configuration that was refused.
func warningsOf(err error) []config.Warning {
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
		return invalid.Warnings
	}
	return nil // no TOML: nothing was read
}

func (r *Report) warn(warnings []config.Warning) {
	for _, w := range warnings {
		element := strings.Trim(w.Section+"."+w.Key, ".")
		r.Diagnostics = append(r.Diagnostics, Diagnostic{Code: w.Code, Element: element, Level: "warning", Message: w.String()})
		r.Counts.Warnings++
	}
}

func (r *Report) fail(err error) {
	for _, e := range flatten(err) {
		d := Diagnostic{Code: "CONFIGURATION", Level: "error", Message: e.Error()}
		if known, ok := errors.AsType[*config.Error](e); ok {
			d.Element = strings.Trim(known.Section+"."+known.Key, ".")
		}
		r.Diagnostics = append(r.Diagnostics, d)
		r.Counts.Errors++
	}
}

// flatten lists the errors that were joined.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // what wraps a join has a text of its own
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func (r *Report) status() string {
	switch {
	case r.Counts.Errors > 0:
		return "fail"
	case r.Counts.Warnings > 0:
		return "warn"
	}
	return "pass"
}

// Print writes the report for people, or as JSON.
func (r *Report) Print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	words := map[string]string{"pass": "PASS", "warn": "WARN", "fail": "FAIL"}
	_, err := fmt.Fprintf(w, "\n  Domain: %s  %s\n", r.Domain, words[r.Status])
	if r.Status == "pass" {
		_, err = fmt.Fprintln(w, "  All checks passed.")
	}
	r.list(w, "error", "Errors", "✗", r.Counts.Errors)
	r.list(w, "warning", "Warnings", "!", r.Counts.Warnings)
	_, _ = fmt.Fprintln(w)
	return err
}

func (r *Report) list(w io.Writer, level, title, mark string, n int) {
	if n == 0 {
		return
	}
	fmt.Fprintf(w, "  %d %s(s)\n\n  %s (%d):\n", n, level, title, n)
	for _, d := range r.Diagnostics {
		switch {
		case d.Level != level:
		case level == "warning":
			fmt.Fprintf(w, "    %s %s: %s\n", mark, d.Code, d.Message)
		default:
			fmt.Fprintf(w, "    %s %s\n", mark, d.Message)
		}
	}
}
