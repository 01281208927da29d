package domain

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// BrokerSpec is one [brokers.<name>], as an adapter needs it.
type BrokerSpec struct {
	Name     string
	Provider string // redis, redis_pubsub or inline
	// URI returns the server's URL as Go clients take it. It is called for
	// every new connection, and reads `${file:…}` again each time.
	URI func() (string, error)
	// MaxConnections caps the pool; 0 is the adapter's default.
	MaxConnections int
	// SocketTimeout and ConnectTimeout are 0 for the adapter's defaults.
	SocketTimeout  time.Duration
	ConnectTimeout time.Duration
	RetryOnTimeout bool
	// Logger is where the adapter logs: never nil.
	Logger *slog.Logger
}

// DatabaseSpec is one [databases.<name>], as an adapter needs it.
type DatabaseSpec struct {
	Name     string
	Provider string // postgresql, mssql, sqlite, elasticsearch or memory
	// URI returns the server's URL as Go clients take it. It is called for
	// every new connection, and reads `${file:…}` again each time.
	URI func() (string, error)
	// Schema is "public" by default, "dbo" for SQL Server.
	Schema string
	// Managed is false where tables are somebody else's; default true.
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
	// Logger is where the adapter logs: never nil.
	Logger *slog.Logger
}

func readBrokers(s section) map[string]BrokerSpec {
	all := map[string]BrokerSpec{}
	for name, in := range s.named() {
		all[name] = readBroker(name, in)
	}
	return all
}

func readBroker(name string, s section) BrokerSpec {
	b := BrokerSpec{
		Name: name, Provider: "inline",
		MaxConnections: or(s.int("max_connections", 1), 0),
		SocketTimeout:  or(s.duration("socket_timeout", positiveSeconds), 0),
		ConnectTimeout: or(s.duration("socket_connect_timeout", positiveSeconds), 0),
		RetryOnTimeout: or(s.bool("retry_on_timeout"), false),
	}
	if p, ok := s.oneOf("provider", "redis", "redis_pubsub", "inline"); ok {
		b.Provider = p
	}
	if b.Provider != "inline" {
		b.URI = s.url("URI", "redis", "rediss", "unix")
		b.fromURL(s)
	}
	return b
}

// fromURL takes the pool's settings out of the URL's parameters.
func (b *BrokerSpec) fromURL(s section) {
	uri, _ := plain(s.tree["URI"]).(string)
	query := cutAddress(uri).query
	given := section{name: s.path("URI"), tree: map[string]any{}, problems: s.problems}
	for _, key := range poolKeys {
		if query.Has(key) {
			given.tree[key] = query.Get(key)
		}
	}
	b.MaxConnections = or(given.int("max_connections", 1), b.MaxConnections)
	b.SocketTimeout = or(given.duration("socket_timeout", positiveSeconds), b.SocketTimeout)
	b.ConnectTimeout = or(given.duration("socket_connect_timeout", positiveSeconds), b.ConnectTimeout)
	if query.Has("retry_on_timeout") {
		b.RetryOnTimeout = pythonBool(query.Get("retry_on_timeout")) == "true"
	}
}

func readDatabases(s section) map[string]DatabaseSpec {
	all := map[string]DatabaseSpec{}
	for name, in := range s.named() {
		all[name] = readDatabase(name, in)
	}
	return all
}

func readDatabase(name string, s section) DatabaseSpec {
	d := DatabaseSpec{
		Name: name, Provider: "memory",
		Managed:     or(s.bool("managed"), true),
		PoolSize:    or(s.poolSize("pool_size"), 5),
		MaxOverflow: or(s.int("max_overflow", -1), 10),
		PoolRecycle: or(s.recycle("pool_recycle"), 0),
		PoolTimeout: or(s.duration("pool_timeout", positiveSeconds), 30*time.Second),
		PrePing:     or(s.bool("pool_pre_ping"), true),
	}
	if p, ok := s.oneOf("provider", "memory", "postgresql", "sqlite", "mssql", "elasticsearch"); ok {
		d.Provider = p
	}
	schema := map[string]string{"postgresql": "public", "mssql": "dbo"}
	d.Schema = s.textOr("schema", schema[d.Provider])
	switch d.Provider {
	case "postgresql":
		d.URI = s.url("database_uri", "postgresql", "postgres")
	case "mssql", "sqlite":
		d.URI = s.url("database_uri", d.Provider, "sqlserver")
	case "elasticsearch":
		d.URI = s.fresh("database_uri")
	}
	return d
}

// poolSize reads how many connections stay open. SQLAlchemy's 0 is no default of
// ours, and would be taken for one.
func (s section) poolSize(key string) *int {
	if n, ok := wholeNumber(plain(s.tree[key])); ok && n == 0 {
		s.bad(key, "expected a whole number from 1 to 2147483647; SQLAlchemy's 0, a pool without limit, is max_overflow = -1 here")
		return nil
	}
	return s.int(key, 1)
}

// recycle reads an age; SQLAlchemy's -1 is no limit.
func (s section) recycle(key string) *time.Duration {
	if v := plain(s.tree[key]); v == int64(-1) || v == "-1" {
		return nil
	}
	return s.duration(key, seconds)
}

func readCaches(s section) map[string]string {
	all := map[string]string{}
	for name, in := range s.named() {
		all[name] = "memory"
		if p, ok := in.oneOf("provider", "memory", "redis"); ok {
			all[name] = p
		}
		if all[name] == "redis" {
			in.url("URI", "redis", "rediss", "unix")
		}
		in.duration("TTL", seconds)
		in.int("max_connections", 1)
		in.duration("socket_timeout", positiveSeconds)
		in.duration("socket_connect_timeout", positiveSeconds)
		in.bool("retry_on_timeout")
	}
	return all
}

func readEventStore(s section) string {
	provider, ok := s.oneOf("provider", "memory", "message_db")
	if !ok {
		provider = "memory"
	}
	if provider == "message_db" {
		s.url("database_uri", "postgresql", "postgres")
	}
	s.int("max_connections", 1)
	return provider
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
	text, ok := s.text(key)
	if !ok {
		if !s.has(key) {
			s.missing(key, "expected the server's URL, such as "+examples[schemes[0]])
		}
		return nil
	}
	if scheme := cutAddress(text).scheme; !slices.Contains(schemes, dialectOf(scheme)) {
		s.bad(key, "expected a URL of %s, such as %s", schemes[0], examples[schemes[0]])
	} else if _, err := translate(text); err != nil {
		s.bad(key, "%s", err)
	}
	read := s.fresh(key)
	return func() (string, error) {
		uri, err := read()
		if err != nil {
			return "", err
		}
		uri, err = translate(uri)
		if err != nil {
			return "", fmt.Errorf("%s: [%s] %s: %w", s.file, s.name, key, err)
		}
		return uri, nil
	}
}

var examples = map[string]string{
	"redis":      "redis://127.0.0.1:6379/0",
	"postgresql": "postgresql://user@127.0.0.1:5432/database",
	"mssql":      "mssql://user@127.0.0.1:1433/database",
	"sqlite":     "sqlite:///file.sqlite",
}
