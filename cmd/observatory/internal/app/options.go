// Package app composes the observatory binary: it is the only place where
// adapters, engine, collector and HTTP meet.
package app

import "io"

// Options are what the command line decides. Empty fields leave it to the
// configuration file.
type Options struct {
	// ConfigPath is the configuration file; "" searches one.
	ConfigPath string
	// Embedded runs the sample on memory, whatever files there are.
	Embedded bool
	// ListenAddress is where /metrics is served.
	ListenAddress string
	// HealthAddress is where probes are answered.
	HealthAddress string
	// TelemetryPath is the path of the metrics; default /metrics.
	TelemetryPath string
	// WebConfigFile configures TLS and authentication of /metrics.
	WebConfigFile string
	// LogLevel and LogFormat override the file's [logging].
	LogLevel  string
	LogFormat string
	// Stderr gets the log, and what is printed at the start.
	Stderr io.Writer
}
