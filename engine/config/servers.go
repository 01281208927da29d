package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Broker is one [brokers.<name>], as an adapter needs it.
type Broker struct {
	Name     string
	Provider string // redis, redis_pubsub or inline
	// URIName is the URL for people: without user, password and what else may be a
	// secret; "" for inline.
	URIName string
	// URI returns the server's URL as Go clients take it. It is called for
	// every new connection, and reads `${file:…}` again each time.
	URI func() (string, error)
	// MaxConnections caps the pool; 0 is the adapter's default.
	MaxConnections int
	// SocketTimeout and ConnectTimeout are 0 for the adapter's defaults.
	SocketTimeout  time.Duration
	ConnectTimeout time.Duration
	RetryOnTimeout bool
}

// Database is one [databases.<name>], as an adapter needs it.
type Database struct {
	Name     string
	Provider string // postgresql, mssql, sqlite, elasticsearch or memory
	// URI returns the server's URL as Go clients take it. It is called for
	// every new connection, and reads `${file:…}` again each time.
	URI func() (string, error)
	// Schema is "public" by default, "dbo" for SQL Server.
	Schema string
	// Managed is false where the tables belong to another program; default true.
	Managed bool
	// PoolSize connections stay open (default 5), up to MaxOverflow more
	// (default 10, -1 for no limit) open under load.
	PoolSize    int
	MaxOverflow int
	// PoolRecycle is the greatest age of a connection; 0 (the default) for any.
	PoolRecycle time.Duration
	// PoolTimeout is how long to wait for a connection; default 30 s.
	PoolTimeout time.Duration
	// PrePing tests a connection before use; default true.
	PrePing bool
}

// EventStore is [event_store], as an adapter needs it.
type EventStore struct {
	Provider string // memory or message_db
	// URIName is the URL for people, as a broker's; "" for memory.
	URIName string
	// URI returns the server's URL as Go clients take it. It is called for
	// every new connection, and reads `${file:…}` again each time.
	URI func() (string, error)
	// MaxConnections caps the pool; 0 is the adapter's default.
	MaxConnections int
	// GapTimeout is [server.event_store_subscription] gap_timeout_seconds: how long a
	// subscription to all messages waits at a missing position before it examines
	// the transactions that may fill it; default 5 s.
	GapTimeout time.Duration
}

// inMemory is the provider of a broker that is in the memory of the process.
const inMemory = "inline"

// isMistaken reports whether a mistake of a key was reported.
func (s section) isMistaken(key string) bool {
	return s.mistaken[[2]string{s.name, key}]
}

// warnUnusedURL warns of a URL beside a provider that is in memory, unless one of
// them is a mistake.
func (s section) warnUnusedURL(key, provider string) {
	if s.has(key) && !s.isMistaken(key) && !s.isMistaken("provider") {
		s.warn(CodeInMemory, s.name, key, fmt.Sprintf("is not used: provider = %q keeps all in memory", provider))
	}
}

func newBroker(name string, s section, v values) Broker {
	b := Broker{Name: name, Provider: get[string](v, "provider")}
	if b.Provider == inMemory && !s.isMistaken("provider") {
		s.warnUnusedURL("URI", b.Provider)
	} else {
		b.URI = s.url("URI", "redis", "rediss", "unix")
		if quoted := s.shown("URI"); quoted != "" {
			b.URIName, _ = strconv.Unquote(quoted)
		}
		v = s.withParameters(v)
	}
	b.MaxConnections = get[int](v, "max_connections")
	b.SocketTimeout = get[time.Duration](v, "socket_timeout")
	b.ConnectTimeout = get[time.Duration](v, "socket_connect_timeout")
	b.RetryOnTimeout = get[bool](v, "retry_on_timeout")
	return b
}

// withParameters returns the values of a broker with those of its URL's
// parameters in their place.
func (s section) withParameters(v values) values {
	u, _ := s.urlText("URI")
	a, err := u.address()
	if err != nil {
		return v // reported by url
	}
	query := a.query
	in := section{name: s.path("URI"), tree: map[string]any{}, problems: s.problems}
	for _, key := range poolKeys() {
		switch {
		case key == "retry_on_timeout" && query.Has(key):
			in.tree[key] = pythonBool(query.Get(key))
		case query.Has(key):
			in.tree[key] = query.Get(key)
		}
	}
	given := maps.Clone(v.given)
	maps.Copy(given, in.read(v.place.pattern).given)
	return values{place: v.place, given: given}
}

func newDatabase(name string, s section, v values) Database {
	d := Database{
		Name: name, Provider: get[string](v, "provider"), Schema: get[string](v, "schema"), Managed: get[bool](v, "managed"),
		PoolSize: get[int](v, "pool_size"), MaxOverflow: get[int](v, "max_overflow"),
		PoolRecycle: get[time.Duration](v, "pool_recycle"), PoolTimeout: get[time.Duration](v, "pool_timeout"),
		PrePing: get[bool](v, "pool_pre_ping"),
	}
	if v.given["schema"] == nil {
		d.Schema = map[string]string{"postgresql": "public", "mssql": "dbo"}[d.Provider]
	}
	switch {
	case s.isMistaken("provider"):
		if !s.has("database_uri") { // all but memory need one
			s.url("database_uri", "postgresql")
		}
	case d.Provider == "memory":
		s.warnUnusedURL("database_uri", d.Provider)
	case d.Provider == "postgresql":
		d.URI = s.url("database_uri", "postgresql", "postgres")
	case d.Provider == "mssql", d.Provider == "sqlite":
		d.URI = s.url("database_uri", d.Provider, "sqlserver")
	case d.Provider == "elasticsearch":
		d.URI = s.reread("database_uri")
	}
	return d
}

// poolSize is how many connections stay open. SQLAlchemy's 0 is no default of
// ours, and would be taken for one.
var poolSize = kind{whole(1, many).want, func(s section, key string) any {
	if n, ok := wholeNumber(plain(s.tree[key])); ok && n == 0 {
		s.bad(key, "expected a whole number from 1 to %d; SQLAlchemy's 0, a pool without limit, is max_overflow = -1 here", many)
		return nil
	}
	return whole(1, many).read(s, key)
}, showPlain}

// recycle is an age; SQLAlchemy's -1 is no limit.
var recycle = kind{"seconds", func(s section, key string) any {
	if v := plain(s.tree[key]); v == int64(-1) || v == "-1" {
		return nil
	}
	return seconds.read(s, key)
}, seconds.show}

func newCache(s section, v values) (provider string) {
	provider = get[string](v, "provider")
	if provider == "redis" || s.isMistaken("provider") {
		s.url("URI", "redis", "rediss", "unix")
	} else {
		s.warnUnusedURL("URI", provider)
	}
	return provider
}

func newEventStore(s section, v, subscriptions values) EventStore {
	e := EventStore{
		Provider: get[string](v, "provider"), MaxConnections: get[int](v, "max_connections"),
		GapTimeout: get[time.Duration](subscriptions, "gap_timeout_seconds"),
	}
	if e.Provider == "message_db" || s.isMistaken("provider") {
		e.URI = s.url("database_uri", "postgresql", "postgres")
		if quoted := s.shown("database_uri"); quoted != "" {
			e.URIName, _ = strconv.Unquote(quoted)
		}
	} else {
		s.warnUnusedURL("database_uri", e.Provider)
	}
	return e
}

// named are the tables inside a section, by their names.
func (s section) named() map[string]section {
	all := map[string]section{}
	for _, key := range s.keys() {
		all[key] = s.at(key)
	}
	return all
}

// url reads a server's URL of one of the schemes, which must be there, and
// returns what reads and translates it anew.
func (s section) url(key string, schemes ...string) func() (string, error) {
	if _, ok := s.text(key); !ok {
		if !s.has(key) {
			s.missing(key, "expected the server's URL, such as "+examples[schemes[0]])
		}
		return nil
	}
	u, err := s.urlText(key)
	scheme, _, _, _ := u.cut()
	switch {
	case err != nil:
		s.bad(key, "%s", err)
	case !slices.Contains(schemes, dialectOf(u.fill(scheme, literally))):
		s.bad(key, "%s", u.explain(fmt.Errorf("expected a URL of %s, such as %s", schemes[0], examples[schemes[0]])))
	default:
		_, err := translate(u)
		if a, malformed := u.address(); malformed == nil {
			err = errors.Join(err, a.checkFiles())
		}
		for _, err := range unjoin(err) {
			s.bad(key, "%s", err)
		}
		if err == nil {
			s.warnSurprises(key, u)
		}
		s.warnEncoded(key, u)
	}
	return func() (string, error) {
		u, err := s.urlText(key)
		if err == nil {
			var uri string
			if uri, err = translate(u); err == nil {
				return uri, nil
			}
		}
		return "", fmt.Errorf("%s: [%s] %s: %w", s.file, s.name, key, err)
	}
}

// urlText is the URL of a key, its references read anew.
func (s section) urlText(key string) (urlText, error) {
	if v, ok := s.tree[key].(*expanded); ok {
		return v.url()
	}
	text, _ := s.tree[key].(string)
	return urlText{text: text}, nil
}

// warnSurprises warns of what a URL says that is taken otherwise than it may have
// been meant.
func (s section) warnSurprises(key string, u urlText) {
	a, err := u.address()
	if err != nil {
		return
	}
	surprises := a.postgresSurprises
	if slices.Contains([]string{"redis", "rediss", "unix"}, dialectOf(a.scheme)) {
		surprises = a.surprises
	}
	for _, text := range surprises() {
		s.warn(CodeNoEffect, s.name, key, text)
	}
}

// warnEncoded warns of what was percent-encoded before it was put into a file or
// a variable: it is taken as it stands.
func (s section) warnEncoded(key string, u urlText) {
	for _, name := range u.encoded() {
		s.warn(CodePercentEncoded, s.name, key, "what "+name+" holds looks percent-encoded: it is taken as it stands, so it must hold the plain text")
	}
}

var examples = map[string]string{
	"redis":      "redis://127.0.0.1:6379/0",
	"postgresql": "postgresql://user@127.0.0.1:5432/database",
	"mssql":      "mssql://user@127.0.0.1:1433/database",
	"sqlite":     "sqlite:///file.sqlite",
}
