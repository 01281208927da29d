package app

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"

	"github.com/observatory-go/observatory/engine/secret"
)

// libraries is where libraries log that log by themselves; nil where they were left
// to do so.
var libraries atomic.Pointer[slog.Logger]

// LogLibraries has libraries that log by themselves write to w, for all of the
// process: what they write to standard error would wait for its reader. Once an
// [App] is built they write to its log.
func LogLibraries(w io.Writer) {
	libraries.Store(slog.New(slog.NewTextHandler(w, nil)))
	log.SetOutput(w)
	redis.SetLogger(redisLog{})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		libraries.Load().Warn("opentelemetry", "error", secret.Secrets{Values: environmentSecrets()}.Error(err))
	}))
	otel.SetLogger(logr.New(openTelemetryLog{}))
}

// environmentSecrets are what the variables of OpenTelemetry hold: its errors repeat
// those that are wrong.
func environmentSecrets() []string {
	var all []string
	for _, variable := range os.Environ() {
		if name, text, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL_") {
			parts := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",=@:/ ", r) })
			all = append(append(all, text), parts...)
		}
	}
	return all
}

// redisLog is the log of go-redis.
type redisLog struct{}

func (redisLog) Printf(_ context.Context, format string, values ...any) {
	libraries.Load().Info("go-redis", "message", fmt.Sprintf(format, values...))
}

// openTelemetryLog is the log of OpenTelemetry. It has the messages, which are
// constant, and neither errors nor values: these repeat the variables that are
// wrong, headers with keys among them. [gauges.NewTelemetry] says which are wrong.
type openTelemetryLog struct{}

func (openTelemetryLog) Init(logr.RuntimeInfo)                {}
func (openTelemetryLog) Enabled(int) bool                     { return true }
func (l openTelemetryLog) WithValues(...any) logr.LogSink     { return l }
func (l openTelemetryLog) WithName(string) logr.LogSink       { return l }
func (openTelemetryLog) Info(_ int, message string, _ ...any) { logOpenTelemetry(message) }
func (openTelemetryLog) Error(_ error, message string, _ ...any) {
	logOpenTelemetry(message)
}

func logOpenTelemetry(message string) {
	libraries.Load().Debug("opentelemetry", "message", message)
}
