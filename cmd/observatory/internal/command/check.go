package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/engine/config"
	"github.com/observatory-go/observatory/engine/domain"
)

func addCheck(line *kingpin.Application, shared *flags) (name string, run func() int) {
	var strict bool
	c := line.Command("check", "Report all that is wrong with a configuration: exit code 0 clean, 1 errors, 2 warnings only.")
	shared.addConfig(c, "Configuration file; default as for serve.")
	c.Flag("strict", "Count warnings as errors: exit code 1 for them too.").SetValue(&toggle{"strict", &strict})
	shared.addJSON(c)
	return c.FullCommand(), func() int { return check(shared, strict) }
}

func check(f *flags, strict bool) int {
	r, err := checkConfiguration(f.options, strict)
	if err == nil {
		err = f.print(r, r.text)
	}
	switch {
	case err != nil:
		return f.exitOf(err)
	case r.Counts.Errors > 0:
		return exitFailed
	case r.Counts.Warnings > 0:
		return exitWarnings
	}
	return exitDone
}

// report is what a check found, in the form of Protean's check.
type report struct {
	Counts      counts       `json:"counts"`
	Diagnostics []diagnostic `json:"diagnostics"`
	Domain      string       `json:"domain"`
	Environment string       `json:"environment"` // by PROTEAN_ENV
	Overlaid    bool         `json:"overlaid"`    // the file's table for it was laid over the rest
	Status      string       `json:"status"`      // pass, warn or fail
}

// counts are how many diagnostics there are of each level.
type counts struct {
	Errors   int `json:"errors"`
	Infos    int `json:"infos"`
	Warnings int `json:"warnings"`
}

// The levels of a diagnostic.
const (
	levelError   = "error"
	levelWarning = "warning"
	levelInfo    = "info"
)

// diagnostic is one finding.
type diagnostic struct {
	Code    string `json:"code"`
	Element string `json:"element"`
	Level   string `json:"level"`
	Message string `json:"message"`
}

// checkConfiguration finds all that is wrong with a configuration; where it is
// strict, what others warn of is wrong too. It contacts no server: adapters
// connect when they are used. The error is that there is no configuration to
// check.
func checkConfiguration(o app.Options, strict bool) (*report, error) {
	taken, err := app.LoadConfiguration(o)
	mistake, refused := errors.AsType[*config.Error](err)
	if err != nil && !refused {
		return nil, err
	}
	r := &report{Diagnostics: []diagnostic{}}
	switch {
	case refused:
		r.Domain = cmp.Or(o.ConfigPath, mistake.File)
		if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
			r.Environment, r.Overlaid = invalid.Environment, invalid.Overlaid
			r.addWarnings(invalid.Warnings)
		}
	case taken.Sample:
		return nil, fmt.Errorf("no configuration file found: %s; name one with --config", taken.Origin)
	default:
		// What its handlers need and do not have is known once it is open.
		r.Domain, r.Environment, r.Overlaid = taken.Path, taken.Environment, taken.Overlaid
		r.addWarnings(taken.Warnings)
		if len(taken.Handlers) == 0 {
			r.addInfo("NO_HANDLERS", "observatory.handlers",
				"the file has no handlers: observatory serve consumes nothing; add [observatory.handlers.<name>], or register handlers in a Go program")
		}
		for _, h := range taken.Handlers {
			if h.Type == config.TypeEventStore {
				r.addInfo("ONE_OWNER", config.Section("observatory.handlers", h.Name),
					"handler "+h.Name+" reads the event store: one process runs it, the others stand by; a Python engine takes no lock, "+
						"so beside one that has a handler of this name both handle everything")
			}
		}
		var d *domain.Domain
		if d, err = taken.Open(context.Background(), slog.New(slog.DiscardHandler)); err == nil {
			r.Domain = d.Name()
			r.addWarnings(d.Warnings())
			_, err = d.Config()
			err = errors.Join(err, d.Close(context.Background()))
		}
	}
	r.addErrors(err)
	if strict {
		r.raiseWarnings()
	}
	switch {
	case r.Counts.Errors > 0:
		r.Status = "fail"
	case r.Counts.Warnings > 0:
		r.Status = "warn"
	default:
		r.Status = "pass"
	}
	return r, nil
}

func (r *report) addWarnings(warnings []config.Warning) {
	for _, w := range warnings {
		element := strings.Trim(w.Section+"."+w.Key, ".")
		r.Diagnostics = append(r.Diagnostics, diagnostic{Code: w.Code, Element: element, Level: levelWarning, Message: w.String()})
		r.Counts.Warnings++
	}
}

func (r *report) addInfo(code, element, message string) {
	r.Diagnostics = append(r.Diagnostics, diagnostic{Code: code, Element: element, Level: levelInfo, Message: message})
	r.Counts.Infos++
}

func (r *report) addErrors(err error) {
	for _, e := range flatten(err) {
		d := diagnostic{Code: "CONFIGURATION", Level: levelError, Message: e.Error()}
		if known, ok := errors.AsType[*config.Error](e); ok {
			d.Element = strings.Trim(known.Section+"."+known.Key, ".")
		}
		r.Diagnostics = append(r.Diagnostics, d)
		r.Counts.Errors++
	}
}

// raiseWarnings makes errors of the warnings.
func (r *report) raiseWarnings() {
	for i, d := range r.Diagnostics {
		if d.Level == levelWarning {
			r.Diagnostics[i].Level = levelError
		}
	}
	r.Counts.Errors, r.Counts.Warnings = r.Counts.Errors+r.Counts.Warnings, 0
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

// text is the report for people.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Domain: %s  %s\n", r.Domain, strings.ToUpper(r.Status))
	fmt.Fprintf(&b, "  Environment: %s\n", app.EnvironmentText(r.Environment, r.Overlaid))
	if r.Status == "pass" {
		b.WriteString("  All checks passed.\n")
	}
	if n := r.Counts.Errors; n > 0 {
		fmt.Fprintf(&b, "  %d error(s)\n\n  Errors (%d):\n", n, n)
	}
	for _, d := range r.Diagnostics {
		if d.Level == levelError {
			fmt.Fprintf(&b, "    ✗ %s\n", d.Message)
		}
	}
	if n := r.Counts.Warnings; n > 0 {
		fmt.Fprintf(&b, "  %d warning(s)\n\n  Warnings (%d):\n", n, n)
	}
	for _, d := range r.Diagnostics {
		if d.Level == levelWarning {
			fmt.Fprintf(&b, "    ! %s: %s\n", d.Code, d.Message)
		}
	}
	for _, d := range r.Diagnostics {
		if d.Level == levelInfo {
			fmt.Fprintf(&b, "  %s\n", d.Message)
		}
	}
	b.WriteByte('\n')
	return b.String()
}
