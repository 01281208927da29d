package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/observatory-go/observatory/engine/secret"
)

// Config is one database and its pool. The keys in parentheses are those of
// [databases.<name>].
type Config struct {
	// Name is the database's name under [databases]; errors begin with it.
	Name string
	// URI returns the address, as libpq reads it: postgresql://user@host/name.
	// It is called for every new connection, so that rotated credentials need
	// no restart, and may be called side by side. Required.
	URI func() (string, error)
	// Schema is where the framework's tables are (schema); default "public".
	Schema string
	// Settings are parameters of each session, such as search_path.
	Settings map[string]string
	// PoolSize is how many connections are kept (pool_size); default 5.
	PoolSize int
	// MaxOverflow is how many more open under load and are closed when given
	// back (max_overflow); nil is 10, -1 is no limit.
	MaxOverflow *int
	// PoolRecycle is the age at which a connection is replaced before its next
	// use (pool_recycle); 0 never.
	PoolRecycle time.Duration
	// PoolTimeout is how long Acquire waits for a connection (pool_timeout);
	// default 30 s.
	PoolTimeout time.Duration
	// PrePing tests a connection before each use (pool_pre_ping). Without it
	// only those are tested that were idle when another broke.
	PrePing bool
}

const (
	defaultPoolSize    = 5
	defaultMaxOverflow = 10
	defaultPoolTimeout = 30 * time.Second
	// connectTimeout bounds an attempt at one host where the address has no
	// connect_timeout.
	connectTimeout = 10 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Schema == "" {
		c.Schema = "public"
	}
	if c.PoolSize == 0 {
		c.PoolSize = defaultPoolSize
	}
	if c.MaxOverflow == nil {
		c.MaxOverflow = new(defaultMaxOverflow)
	}
	if c.PoolTimeout == 0 {
		c.PoolTimeout = defaultPoolTimeout
	}
	return c
}

// validate names every field that cannot work.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URI == nil {
		bad("URI must be set")
	}
	if c.PoolSize < 1 {
		bad("pool_size must be positive, got %d", c.PoolSize)
	}
	if *c.MaxOverflow < -1 {
		bad("max_overflow must be 0 or more, or -1 for no limit, got %d", *c.MaxOverflow)
	}
	if c.PoolRecycle < 0 {
		bad("pool_recycle must not be negative, got %s", c.PoolRecycle)
	}
	if c.PoolTimeout < 0 {
		bad("pool_timeout must be positive, got %s", c.PoolTimeout)
	}
	return errors.Join(errs...)
}

// limit is how many connections may be open at once.
func (c Config) limit() int {
	if *c.MaxOverflow == -1 {
		return math.MaxInt
	}
	return c.PoolSize + *c.MaxOverflow
}

// connect opens a connection. What it reports names neither the user nor what
// else of the address may be secret.
func (c Config) connect(ctx context.Context) (*pgx.Conn, error) {
	session, err := c.session()
	if err != nil {
		return nil, err
	}
	timeout := session.ConnectTimeout
	if timeout == 0 {
		timeout = connectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout*time.Duration(1+len(session.Fallbacks)))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, session)
	if refused, ok := errors.AsType[*pgconn.ConnectError](err); ok { // its own text begins with the user
		err = fmt.Errorf("failed to connect: %w", refused.Unwrap())
	}
	return conn, c.secretsOf(session).Error(err)
}

// hide keeps what the address has of secrets out of an error of the server, which
// repeats user names and settings.
func (c Config) hide(err error) error {
	session, parseErr := c.session()
	if err == nil || parseErr != nil {
		return err
	}
	return c.secretsOf(session).Error(err)
}

// secretsOf are the parts of an address that may be secret: what is taken for the
// name or the value of a setting may be the rest of a password.
func (c Config) secretsOf(session *pgx.ConnConfig) secret.Secrets {
	all := secret.Secrets{Users: []string{session.User}, Values: []string{session.Password}}
	for name, value := range session.RuntimeParams {
		if _, ours := c.Settings[name]; !ours && name != "TimeZone" && name != "application_name" {
			all.Values = append(all.Values, name, value)
		}
	}
	return all
}

// session reads the address anew. Sessions run in UTC: columns without a time
// zone are written by Python in the session's.
func (c Config) session() (*pgx.ConnConfig, error) {
	uri, err := c.URI()
	if err != nil {
		return nil, fmt.Errorf("read database_uri: %w", err)
	}
	session, err := pgx.ParseConfig(uri)
	if err != nil {
		return nil, explainURI(uri, err)
	}
	for name := range session.RuntimeParams {
		if strings.EqualFold(name, "TimeZone") {
			delete(session.RuntimeParams, name)
		}
	}
	countTraffic(session)
	session.RuntimeParams["TimeZone"] = "UTC"
	maps.Copy(session.RuntimeParams, c.Settings)
	if session.RuntimeParams["application_name"] == "" {
		session.RuntimeParams["application_name"] = "observatory"
	}
	return session, nil
}

// explainURI says what is wrong with an address without repeating any of it:
// where an address cannot be parsed, it is not known which part is the password.
func explainURI(uri string, err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("database_uri names a file that cannot be read: %w", file)
	}
	if u, malformed := url.Parse(uri); malformed == nil && strings.HasPrefix(u.Scheme, "postgres") {
		return errors.New("a parameter of database_uri, or a PG… variable of the environment, is not valid: observatory check names the parameter")
	}
	return errors.New("database_uri is not a PostgreSQL address: expected postgresql://user:password@host:5432/name, " +
		"special characters of the password percent-encoded")
}
