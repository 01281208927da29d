package app

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/config"
)

// newLogger builds the log as the command line configures it, else the file.
func newLogger(o Options, file config.Logging) *slog.Logger {
	level := slog.LevelInfo
	if file.Level != nil {
		level = *file.Level
	}
	if o.LogLevel != "" {
		_ = level.UnmarshalText([]byte(o.LogLevel)) // the command line takes valid ones only
	}
	options := &slog.HandlerOptions{Level: level}
	h := lossyHandler{Handler: slog.NewTextHandler(o.Stderr, options), lost: new(atomic.Int64)}
	if asJSON(o, file.Format) {
		h.Handler = slog.NewJSONHandler(o.Stderr, options)
	}
	return slog.New(h)
}

// lossyHandler drops what cannot be written, and says how many lines that were
// once a line can be written again.
type lossyHandler struct {
	slog.Handler
	lost *atomic.Int64
}

func (h lossyHandler) Handle(ctx context.Context, r slog.Record) error {
	if err := h.Handler.Handle(ctx, r); err != nil {
		h.lost.Add(1)
		return err
	}
	lost := h.lost.Swap(0)
	if lost == 0 {
		return nil
	}
	note := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines could not be written", 0)
	note.AddAttrs(slog.Int64("lines", lost))
	if err := h.Handler.Handle(ctx, note); err != nil {
		h.lost.Add(lost)
		return err
	}
	return nil
}

func (h lossyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lossyHandler{h.Handler.WithAttrs(attrs), h.lost}
}

func (h lossyHandler) WithGroup(name string) slog.Handler {
	return lossyHandler{h.Handler.WithGroup(name), h.lost}
}

// asJSON says whether the log is JSON: as configured, else wherever it does not
// go to a terminal.
func asJSON(o Options, fileFormat string) bool {
	switch {
	case o.LogFormat != "":
		return o.LogFormat == "json"
	case fileFormat == "auto" || fileFormat == "":
		return !IsTerminal(o.Stderr)
	}
	return fileFormat == "json"
}

// IsTerminal reports whether what is written appears on a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
