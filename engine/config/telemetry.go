package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
)

// Telemetry is [telemetry]: whether and where metrics are pushed. It does not
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
	// Format is "auto" (the default: text on a terminal, else json), "text" or
	// "console", which are one, or "json".
	Format string
}

func newTelemetry(s section, v values) Telemetry {
	t := Telemetry{
		Enabled: get[bool](v, "enabled"), ServiceName: get[string](v, "service_name"),
		Exporter: get[string](v, "exporter"), Endpoint: get[string](v, "endpoint"),
		ResourceAttributes: map[string]string{},
	}
	attributes := s.at("resource_attributes")
	for _, key := range attributes.keys() {
		t.ResourceAttributes[key] = fmt.Sprint(plain(attributes.tree[key]))
	}
	return t
}

func newLogging(v values) Logging {
	l := Logging{Format: get[string](v, "format")}
	if level, ok := v.given["level"].(slog.Level); ok {
		l.Level = &level
	}
	return l
}

// endpoint is where metrics are pushed; an empty one counts as not given.
var endpoint = kind{"`http://host:port`, `https://host:port` or `host:port`", func(s section, key string) any {
	if text, ok := s.text(key); !ok || text == "" {
		return nil
	}
	u, err := s.urlText(key)
	if err == nil && strings.Contains(u.text, "://") {
		var a address
		if a, err = u.address(); err == nil && (a.scheme == "http" || a.scheme == "https") && a.host != "" {
			return a.withQuery(a.raw)
		}
	} else if text := u.fill(u.text, literally); err == nil && checkHosts(text) == nil {
		if _, port, err := net.SplitHostPort(text); err == nil && port != "" {
			return text
		}
	}
	s.bad(key, "%s", u.explain(errors.New("expected http://host:4317, https://host:4317 or host:4317")))
	return nil
}, showPlain}

// levels are Python's names of levels; TRACE and CRITICAL have no like here.
var levels = map[string]slog.Level{
	"notset": slog.LevelDebug, "trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError,
}

// LevelOf is the level that [logging] means by a name; not ok for none.
func LevelOf(name string) (level slog.Level, ok bool) {
	level, ok = levels[strings.ToLower(name)]
	return level, ok
}

// logFormats are the formats of [logging]; text and console are one.
var logFormats = []string{"auto", "console", "json", "text"}

// IsLogFormat reports whether [logging] takes a format.
func IsLogFormat(name string) bool { return slices.Contains(logFormats, strings.ToLower(name)) }

// level is the name of a level; an empty one counts as not given.
var level = kind{"`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`", func(s section, key string) any {
	name, ok := s.text(key)
	if !ok || name == "" {
		return nil
	}
	if level, ok := LevelOf(name); ok {
		return level
	}
	s.badName(key, name, []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
	return nil
}, showPlain}
