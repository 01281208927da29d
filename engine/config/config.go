// Package config reads a domain.toml: the file to values, all its mistakes at
// once, and the settings of each handler with where they come from. A Python
// project's file is read unchanged.
//
// The keys stand in one table, a row a key.
package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/observatory-go/observatory/engine/subscription"
)

// Config is a domain's configuration: merged, expanded, typed and checked. It
// is read-only.
type Config struct {
	// Path is the file, as it was given.
	Path string
	// Environment is the value of PROTEAN_ENV: "" where it is not set. Overlaid is
	// true where the file has a table of that name, which was laid over it.
	Environment string
	Overlaid    bool
	// Name is the domain's name by `[observatory] name`; "" where the file does
	// not say.
	Name string
	// SourceURI is the `source` of CloudEvents; "" where the file does not say.
	SourceURI string

	Brokers   map[string]Broker
	Databases map[string]Database
	// Caches are the providers of caches, by the cache's name: memory or redis.
	Caches     map[string]string
	EventStore EventStore
	// Handlers are those of [observatory.handlers], in the order of their names.
	Handlers []Handler

	Health      Health
	DeadLetters DeadLetters
	// BackfillSuffix is what the name of a stream's backfill lane has after a colon;
	// "" where [server.priority_lanes] are off.
	BackfillSuffix string
	Observatory    Observatory
	Telemetry      Telemetry
	Logging        Logging
	// Warnings are what an operator should know, and what stops nothing, in the
	// order of sections and keys.
	Warnings []Warning

	layers layers
}

// Health is [server.health].
type Health struct {
	Enabled bool   // default true
	Host    string // default "0.0.0.0"
	Port    int    // default 8080
}

// DeadLetters is [server.dlq].
type DeadLetters struct {
	Enabled   bool          // default false
	Retention time.Duration // default a week
	Threshold int           // default 100
	// Callback is an http(s) URL or a function's name; "" for none. It may hold a
	// secret.
	Callback string
	Every    time.Duration // default a minute
	// Repeat is [observatory] alert_repeat_seconds; default an hour.
	Repeat time.Duration
}

// Observatory is [observatory], without its handlers.
type Observatory struct {
	// ListenAddress is where /metrics is served; default 127.0.0.1:9000.
	ListenAddress string
	// Metrics is false where every instrument shall be a no-op; default true.
	Metrics bool
	// Token is what lets other machines drain the engine; "" for none.
	Token string
	// ShutdownTimeout is how long in-flight handlers get; default: the file's
	// [server] drain_timeout, else 10 s.
	ShutdownTimeout time.Duration
	// MaxInflightBytes bounds the bodies of the messages that all subscriptions
	// together have read and not settled; default
	// [subscription.DefaultMaxInflightBytes].
	MaxInflightBytes int64
	// VerifyChecksums is false where payloads are taken as they come; default
	// true.
	VerifyChecksums bool
}

// newConfig reads every section, then makes of their values what a program
// needs. What is wrong is collected by the section.
func newConfig(path, environment string, root section) *Config {
	read := root.readAll()
	observatory, health, dlq := read["observatory"], read["server.health"], read["server.dlq"]
	c := &Config{
		Path: path, Environment: environment,
		Name: get[string](observatory, "name"), SourceURI: get[string](read[""], "source_uri"),
		Brokers: map[string]Broker{}, Databases: map[string]Database{}, Caches: map[string]string{},
		EventStore: newEventStore(root.at("event_store"), read["event_store"], read["server.event_store_subscription"]),
		Health: Health{
			Enabled: get[bool](health, "enabled"), Host: get[string](health, "host"), Port: get[int](health, "port"),
		},
		DeadLetters: DeadLetters{
			Enabled: get[bool](dlq, "enabled"), Retention: time.Duration(get[int](dlq, "retention_hours")) * time.Hour,
			Threshold: get[int](dlq, "alert_threshold"), Callback: get[string](dlq, "alert_callback"),
			Every: get[time.Duration](dlq, "check_interval_seconds"), Repeat: get[time.Duration](observatory, "alert_repeat_seconds"),
		},
		Observatory: Observatory{
			ListenAddress: get[string](observatory, "listen_address"), Metrics: get[bool](observatory, "metrics"),
			ShutdownTimeout:  shutdownTimeout(observatory, read["server"]),
			MaxInflightBytes: get[int64](observatory, "max_inflight_bytes"),
			VerifyChecksums:  get[bool](observatory, "verify_checksums"),
			Token:            get[string](observatory, "token"),
		},
		Telemetry: newTelemetry(root.at("telemetry"), read["telemetry"]),
		Logging:   newLogging(read["logging"]),
	}
	for name, s := range root.at("brokers").named() {
		c.Brokers[name] = newBroker(name, s, read[s.name])
	}
	for name, s := range root.at("databases").named() {
		c.Databases[name] = newDatabase(name, s, read[s.name])
	}
	for name, s := range root.at("caches").named() {
		c.Caches[name] = newCache(s, read[s.name])
	}
	c.layers = newLayers(root, read)
	c.checkPorts(root)
	if c.DeadLetters.Callback != "" && !isCallback(c.DeadLetters.Callback) {
		root.at("server").at("dlq").add(Error{
			Section: "server.dlq", Key: "alert_callback", Expected: "expected an http(s) URL with a host, such as http://alerts.internal:8080/dlq, or the name of a function",
		})
	}
	if strings.ContainsFunc(c.Observatory.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		root.at("observatory").add(Error{Section: "observatory", Key: "token", Expected: "expected visible ASCII characters without spaces: a header carries it"})
	}
	if lanes := read["server.priority_lanes"]; get[bool](lanes, "enabled") {
		c.BackfillSuffix = get[string](lanes, "backfill_suffix")
		switch {
		case slices.Contains([]string{"dlq", "command"}, c.BackfillSuffix):
			root.at("server").at("priority_lanes").bad("backfill_suffix", "expected another suffix: that is the one of dead-letter queues and commands")
		case strings.ContainsFunc(c.BackfillSuffix, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
			root.at("server").at("priority_lanes").bad("backfill_suffix", "expected a text without spaces: it is part of a stream's name")
		}
	}
	handlers := root.at("observatory").at("handlers")
	type groupOnStream struct{ group, stream string }
	groups := map[groupOnStream]string{}
	for _, name := range handlers.keys() {
		s := handlers.at(name)
		h := c.newHandler(name, s, read[s.name])
		c.Handlers = append(c.Handlers, h)
		at := groupOnStream{cmp.Or(h.Group, name), h.Stream}
		if other, has := groups[at]; has && h.Stream != "" {
			s.add(Error{
				Section: s.name, Key: "group", Value: s.shown("group"),
				Expected: fmt.Sprintf("expected a group of its own: handler %s reads the same stream with it, and each would get half of the entries", other),
			})
			continue
		}
		groups[at] = name
	}
	if !c.layers.streamByDefault() && get[bool](read[""], "enable_outbox") {
		root.bad("enable_outbox", `expected false, or [server] default_subscription_type = "stream": event_store subscriptions do not read what an outbox publishes`)
	}
	c.warnSubscriptionsWithoutHandler(root.at("server").at("subscriptions"))
	warnPython(root, read)
	warnNotBuilt(root, read)
	warnPools(root, read, environment)
	return c
}

// isCallback reports whether a text is an http(s) URL that can be called, or may be the
// name of a function.
func isCallback(text string) bool {
	scheme, _, isURL := strings.Cut(text, ":")
	if !isURL {
		return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '/' })
	}
	u, err := url.Parse(text)
	if err != nil || scheme != "http" && scheme != "https" || u.Hostname() == "" {
		return false
	}
	port, err := strconv.Atoi(cmp.Or(u.Port(), "80"))
	return err == nil && port > 0 && port < 1<<16 && !strings.HasSuffix(u.Host, ":")
}

// checkPorts reports that /metrics and the probes are to be served on one port of
// one address.
func (c *Config) checkPorts(root section) {
	host, port, err := net.SplitHostPort(c.Observatory.ListenAddress)
	if err != nil || !c.Health.Enabled || c.Health.Port == 0 || port != strconv.Itoa(c.Health.Port) {
		return
	}
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	if host == c.Health.Host || everywhere(host) || everywhere(c.Health.Host) {
		root.at("observatory").bad("listen_address", "expected another port than that of [server.health], which is %d on %s", c.Health.Port, cmp.Or(c.Health.Host, "every interface"))
	}
}

// warnSubscriptionsWithoutHandler warns of sections whose names are almost that of a
// handler of the file: they hold for another, if there is one in Go.
func (c *Config) warnSubscriptionsWithoutHandler(s section) {
	var names []string
	known := map[string]bool{}
	for _, h := range c.Handlers {
		name := subscription.ShortName(h.Name)
		names, known[name] = append(names, name), true
	}
	for _, name := range s.keys() {
		if known[name] {
			continue
		}
		near := nearest(name, names)
		for _, other := range names[:min(len(names), maxNearNames)] {
			if near == "" && len(name) == len(other)+1 && strings.HasPrefix(strings.ToLower(name), strings.ToLower(other)) {
				near = other
			}
		}
		if near != "" {
			s.warn(CodeNoEffect, s.path(name), "", "is not that of a handler of the file"+didYouMean(near))
		}
	}
}

// shutdownTimeout is ours, else the key that Protean has for it.
func shutdownTimeout(observatory, server values) time.Duration {
	_, given := observatory.given["shutdown_timeout_seconds"]
	if drain, has := server.given["drain_timeout"].(time.Duration); has && !given {
		return drain
	}
	return get[time.Duration](observatory, "shutdown_timeout_seconds")
}
