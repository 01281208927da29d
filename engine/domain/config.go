// Package domain is a program's own door to a domain.toml: it reads the file,
// opens what the file describes with the adapters it is given, and resolves the
// settings of every handler. A Python project's file is read unchanged.
package domain

import (
	"path/filepath"
	"time"
)

// Config is a domain's configuration: merged, expanded, typed and checked. It
// is read-only.
type Config struct {
	// Path is the file, as it was given.
	Path string
	// Environment is the value of PROTEAN_ENV: "" where it is not set.
	Environment string
	// Name is the domain's name by `[observatory] name`; "" where the file does
	// not say, see [Domain.Name].
	Name string
	// SourceURI is the `source` of CloudEvents; "" where the file does not say.
	SourceURI string

	Brokers   map[string]BrokerSpec
	Databases map[string]DatabaseSpec
	// Handlers are those of [observatory.handlers], in the order of their names.
	Handlers []HandlerSpec

	Health      Health
	Observatory Observatory
	Telemetry   Telemetry
	Logging     Logging
	// Warnings are what an operator should know, and what stops nothing, in the
	// order of sections and keys. [Domain.Warnings] has those about adapters.
	Warnings []Warning

	caches     map[string]string // provider by name
	eventStore string            // its provider
	server     server
}

// Health is [server.health].
type Health struct {
	Enabled bool   // default true
	Host    string // default "0.0.0.0"
	Port    int    // default 8080
}

// Observatory is [observatory], without its handlers.
type Observatory struct {
	// ListenAddress is where /metrics is served; default 127.0.0.1:9000.
	ListenAddress string
	// Metrics is false where every instrument shall be a no-op; default true.
	Metrics bool
	// ShutdownTimeout is how long in-flight handlers get; default 10 s.
	ShutdownTimeout time.Duration
	// VerifyChecksums is false where payloads are taken as they come; default
	// true.
	VerifyChecksums bool
}

// newConfig reads every section that this program knows; what is wrong with
// them is collected by the section.
func newConfig(path, environment string, root section) *Config {
	c := &Config{
		Path: path, Environment: environment,
		SourceURI: root.textOr("source_uri", ""),
		Brokers:   readBrokers(root.at("brokers")),
		Databases: readDatabases(root.at("databases")),
		caches:    readCaches(root.at("caches")),
		Telemetry: readTelemetry(root.at("telemetry")),
		Logging:   readLogging(root.at("logging")),
		Health:    readHealth(root.at("server").at("health")),
	}
	c.eventStore = readEventStore(root.at("event_store"))
	c.readObservatory(root.at("observatory"))
	c.server = readServer(root.at("server"))
	c.Handlers = readHandlers(root.at("observatory").at("handlers"), c.server)
	checkOutbox(root, c.server)
	checkUnused(root)
	warnUnknown(root)
	warnPython(root)
	warnNotBuilt(root)
	warnPools(root.at("databases"), environment)
	return c
}

func readHealth(s section) Health {
	return Health{
		Enabled: or(s.bool("enabled"), true),
		Host:    s.textOr("host", "0.0.0.0"),
		Port:    or(s.port("port"), 8080),
	}
}

func (c *Config) readObservatory(s section) {
	c.Name = s.textOr("name", "")
	c.Observatory = Observatory{
		ListenAddress:   s.address("listen_address", "127.0.0.1:9000"),
		Metrics:         or(s.bool("metrics"), true),
		ShutdownTimeout: or(s.duration("shutdown_timeout_seconds", seconds), 10*time.Second),
		VerifyChecksums: or(s.bool("verify_checksums"), true),
	}
}

// folder names a domain of which nothing else is known.
func (c *Config) folder() string {
	path, err := filepath.Abs(c.Path)
	if err != nil || c.Path == "" {
		return "domain"
	}
	return filepath.Base(filepath.Dir(path))
}
