package config

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/subscription"
)

// Handler is one [observatory.handlers.<name>]: a handler that delivers its
// messages to an application.
type Handler struct {
	Name   string
	Stream string
	// Types are the message types to deliver; none for all of the stream.
	Types []string
	// Target is "log:" or an http(s) URL. TargetName is the URL for people:
	// without user-info and parameters, what comes from a variable or a file by
	// the name of that.
	Target, TargetName string
	// Headers returns what goes with each request. It reads `${file:…}` again
	// each time.
	Headers func() (map[string]string, error)
	// HeaderNames are the names of the headers of the file.
	HeaderNames []string
	// Broker is the name of the broker whose stream it is; "" for the default.
	Broker string
	// Group is the consumer group; "" for the handler's name.
	Group string
	// Format says how the stream's entries are read.
	Format handler.Format
	// Type says whether Stream is a stream or a category of the event store.
	Type Type
}

// TargetLog is the target that writes each message to standard output.
const TargetLog = "log:"

// The formats of a handler's stream, by their names in a file.
var formats = map[string]handler.Format{
	"envelope": handler.FormatEnvelope, "object": handler.FormatObject, "fields": handler.FormatFields,
}

// FormatName is the format as a file spells it.
func (h Handler) FormatName() string {
	for name, format := range formats {
		if format == h.Format {
			return name
		}
	}
	return ""
}

func (c *Config) newHandler(name string, s section, v values) Handler {
	h := Handler{
		Name: name, Stream: s.stream("stream"), Types: get[[]string](v, "types"),
		Headers: s.at("headers").headers(), HeaderNames: s.at("headers").keys(), Group: get[string](v, "group"), Broker: get[string](v, "broker"), Format: formats[get[string](v, "format")],
	}
	h.Target, h.TargetName = s.target("deliver")
	if h.Target == TargetLog && s.has("headers") {
		s.warn(CodeNoEffect, s.name, "headers", `is not used: deliver = "log:" sends no request`)
	}
	if _, rereads := s.tree["deliver"].(*expanded); rereads && h.Target != "" {
		h.Headers = s.credentialsAnew("deliver", h)
	}
	if name == "" || strings.ContainsAny(name, " \t\r\n") {
		s.add(Error{Section: s.name, Expected: "expected a name without spaces: it is the consumer group"})
	}
	if len(h.Types) > 0 && h.Format != handler.FormatEnvelope {
		s.bad("types", `expected none: an entry of format = %q has no type`, get[string](v, "format"))
	}
	h.Type = cmp.Or(typeOf(c.layers.handlers[name], c.layers.subscriptions[subscription.ShortName(name)]), TypeStream)
	if _, exists := c.Brokers[h.Broker]; h.Broker != "" && !exists {
		s.badName("broker", h.Broker, slices.Sorted(maps.Keys(c.Brokers)))
	}
	if h.Type == TypeStream && h.Stream == allMessages {
		s.bad("stream", `expected the name of a stream, or subscription_type = "event_store" beside it: %q is every message of the event store`, allMessages)
	}
	if h.Type == TypeEventStore {
		for key, why := range map[string]string{
			"enable_dlq":         "an event store has no dead-letter queue, and keeps what is given up on, marked as exhausted",
			"claim_idle_seconds": "an event_store subscription has one owner, and another takes over within seconds once that has ended",
		} {
			if c.layers.handlers[name].set[key] != nil {
				s.warn(CodeNoEffect, s.name, key, "is not used: "+why)
			}
		}
		if h.Broker != "" {
			s.bad("broker", "expected none: an event_store subscription reads the event store")
		}
		if h.Stream != "" {
			if err := CheckCategory(h.Stream); err != nil {
				s.bad("stream", "%s", err)
			}
		}
		if h.Format != handler.FormatEnvelope {
			s.bad("format", `expected "envelope": an event store keeps messages in that form alone`)
		}
		if h.Group != "" {
			s.bad("group", "expected none: an event_store subscription has no consumer group, and its position is kept by the handler's name")
		}
		if c.EventStore.Provider == "memory" {
			s.bad("subscription_type", `expected "stream", or [event_store] provider = "message_db": a store in memory has what its own program appends, and no other reads`)
		}
	}
	return h
}

// stream reads the name of a stream, which must be there.
func (s section) stream(key string) string {
	name, ok := s.text(key)
	if !ok {
		if !s.has(key) {
			s.missing(key, `expected the stream to read, such as "shop::order"`)
		}
		return ""
	}
	if err := CheckStream(name); err != nil {
		s.bad(key, "%s", err)
	}
	return name
}

// target reads where a handler delivers to, and its name.
func (s section) target(key string) (target, name string) {
	const wanted = `"log:" or a URL such as "http://127.0.0.1:8000/events"`
	text, ok := s.text(key)
	if !ok {
		if !s.has(key) {
			s.missing(key, "expected "+wanted)
		}
		return "", ""
	}
	if text == TargetLog {
		return text, text
	}
	u, err := s.urlText(key)
	if err != nil {
		s.bad(key, "%s", err)
		return "", ""
	}
	a, err := u.address()
	if err != nil || a.scheme != "http" && a.scheme != "https" || a.host == "" || strings.HasPrefix(a.host, ":") || strings.Contains(a.host, ",") {
		reason := "expected " + wanted
		if err != nil && strings.HasPrefix(a.scheme, "http") {
			reason = err.Error() + ", such as http://127.0.0.1:8000/events"
		}
		s.bad(key, "%s", u.explain(errors.New(reason)))
		return "", ""
	}
	s.warnEncoded(key, u)
	target = a.withQuery(a.raw)
	if _, err := url.Parse(target); err != nil { // its text would repeat the URL
		s.bad(key, "%s", u.explain(errors.New("expected a URL whose special characters are percent-encoded")))
	}
	_, _, tail, _ := u.cut()
	path, _, _ := strings.Cut(tail, "?")
	return target, a.scheme + "://" + a.host + u.replace(path, func(r urlReference) string { return r.name })
}

// credentialsAnew adds to the headers of a handler the user-info of its target, read
// anew for each request as they are. A configured Authorization wins.
func (s section) credentialsAnew(key string, h Handler) func() (map[string]string, error) {
	if slices.ContainsFunc(h.HeaderNames, func(name string) bool { return strings.EqualFold(name, "Authorization") }) {
		return h.Headers
	}
	return func() (map[string]string, error) {
		all, err := h.Headers()
		if err != nil {
			return nil, err
		}
		u, err := s.urlText(key)
		if err != nil {
			return nil, fmt.Errorf("%s: [%s] %s: %w", s.file, s.name, key, err)
		}
		if a, _ := u.address(); a.user != nil {
			password, _ := a.user.Password()
			all["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(a.user.Username()+":"+password))
		}
		return all, nil
	}
}

// headers reads the names and values of HTTP headers.
func (s section) headers() func() (map[string]string, error) {
	read := map[string]func() (string, error){}
	for _, name := range s.keys() {
		value, ok := s.text(name)
		switch {
		case !ok:
		case !validHeaderName(name):
			// What is no name may be a whole header.
			s.add(Error{Section: s.name, Expected: "a key of it is not the name of an HTTP header, such as Authorization"})
		case ofEvent(name):
			s.bad(name, "expected no such header: Content-Type, ce-*, traceparent and tracestate belong to the event that is delivered; remove it, or give it another name")
		case ofRequest(name):
			s.bad(name, "expected no such header: Content-Length, Transfer-Encoding and Trailer say how a request is written; remove it")
		case strings.ContainsFunc(value, isControl):
			s.bad(name, "expected a value of one line, without control characters")
		default:
			read[name] = s.reread(name)
		}
	}
	return func() (map[string]string, error) {
		all := make(map[string]string, len(read))
		for name, value := range read {
			text, err := value()
			if err != nil {
				return nil, err
			}
			all[name] = text
		}
		return all, nil
	}
}

// ofEvent reports whether a header is one that carries the CloudEvent itself.
func ofEvent(name string) bool {
	name = strings.ToLower(name)
	return name == "content-type" || name == "traceparent" || name == "tracestate" || strings.HasPrefix(name, "ce-")
}

// ofRequest reports whether a header says how the request itself is written.
func ofRequest(name string) bool {
	return slices.Contains([]string{"content-length", "transfer-encoding", "trailer"}, strings.ToLower(name))
}

// isControl reports whether a header's value cannot hold a character.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// validHeaderName reports whether name is a token of RFC 9110.
func validHeaderName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(marks, rune(c)) {
			return false
		}
	}
	return name != ""
}

// allMessages is what a subscription to every message of the event store reads.
const allMessages = "$all"

// pauseCategory is where an event store keeps which subscriptions are paused.
const pauseCategory = "observatory:pause"

// CheckCategory says what is wrong with what a subscription to the event store
// reads; nil if nothing is.
func CheckCategory(name string) error {
	category, _, isStream := strings.Cut(name, "-")
	switch {
	case name == allMessages:
		return nil
	case strings.HasPrefix(name, "$"):
		return fmt.Errorf("expected a category, or %q for every message of the store; did you mean %q?", allMessages, allMessages)
	case slices.Contains([]string{"position", "failed", "recovery"}, category):
		return fmt.Errorf("expected a category of messages: %q keeps how far subscriptions are", category)
	case category == pauseCategory:
		return fmt.Errorf("expected a category of messages: %q keeps which subscriptions are paused", category)
	case isStream && category == "":
		return errors.New(`expected a category: what stands before the first "-" of a stream's name, and here nothing does`)
	case isStream:
		return fmt.Errorf(`expected a category, which has no "-": that is the name of one stream; did you mean %q?`, category)
	}
	return nil
}

// CheckStream says what is wrong with the name of a stream; nil if nothing is.
func CheckStream(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("expected the name of a stream, got an empty one")
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("expected the name of a stream without spaces")
	case strings.HasSuffix(name, deadletter.Suffix):
		return fmt.Errorf("expected a stream, not a dead-letter queue: what fails would be dead-lettered to %s%s", name, deadletter.Suffix)
	}
	return nil
}
