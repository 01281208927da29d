package domain

import (
	"fmt"
	"log/slog"
	"strings"
)

// Telemetry is [telemetry]: whether and where figures are pushed. It does not
// concern /metrics.
type Telemetry struct {
	Enabled            bool   // default false
	ServiceName        string // default: the domain's name
	Exporter           string // "otlp" (default) or "console"
	Endpoint           string // "" for the exporter's own default
	ResourceAttributes map[string]string
}

// Logging is [logging], as far as it is honoured.
type Logging struct {
	// Level is the lowest level to log; nil where the file does not say.
	Level *slog.Level
	// Format is "auto" (the default: console on a terminal, else json),
	// "console" or "json".
	Format string
}

var exporters = []string{"otlp", "console"}

func readTelemetry(s section) Telemetry {
	t := Telemetry{Enabled: or(s.bool("enabled"), false), ServiceName: s.textOr("service_name", ""), Exporter: "otlp"}
	if name, ok := s.oneOf("exporter", exporters...); ok {
		t.Exporter = name
	}
	t.Endpoint = s.textOr("endpoint", "")
	attributes := s.at("resource_attributes")
	t.ResourceAttributes = make(map[string]string, len(attributes.tree))
	for _, key := range attributes.keys() {
		t.ResourceAttributes[key] = fmt.Sprint(plain(attributes.tree[key]))
	}
	return t
}

// levels are Python's names of levels; TRACE and CRITICAL have no like here.
var levels = map[string]slog.Level{
	"notset": slog.LevelDebug, "trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError,
}

func readLogging(s section) Logging {
	l := Logging{Format: "auto"}
	if name, ok := s.oneOf("format", "auto", "console", "json"); ok {
		l.Format = name
	}
	if name, ok := s.text("level"); ok && name != "" {
		l.Level = readLevel(s, name)
	}
	return l
}

func readLevel(s section, name string) *slog.Level {
	if level, ok := levels[strings.ToLower(name)]; ok {
		return &level
	}
	s.badName("level", name, []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
	return nil
}
