package app

import (
	"cmp"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/observatory-go/observatory/engine/config"
)

// newLogger builds the log as the command line configures it, else the file.
func newLogger(o Options, file config.Logging) *slog.Logger {
	level := slog.LevelInfo
	if file.Level != nil {
		level = *file.Level
	}
	if o.LogLevel != "" {
		level, _ = config.LevelOf(o.LogLevel) // the command line takes valid ones only
	}
	options := &slog.HandlerOptions{Level: level}
	newHandler := func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
	if asJSON(o, file.Format) {
		newHandler = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	}
	if out, ok := o.Stderr.(*Output); ok {
		out.logAs(newHandler)
	}
	return slog.New(newHandler(o.Stderr))
}

// asJSON says whether the log is JSON: as configured, else wherever it does not
// go to a terminal.
func asJSON(o Options, fileFormat string) bool {
	format := strings.ToLower(cmp.Or(o.LogFormat, fileFormat))
	if format == "auto" || format == "" {
		return !IsTerminal(o.Stderr)
	}
	return format == "json"
}

// IsTerminal reports whether what is written appears on a terminal.
func IsTerminal(w io.Writer) bool {
	if out, ok := w.(*Output); ok {
		w = out.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
