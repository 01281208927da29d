package redisbroker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config is one broker.
type Config struct {
	// Name is the broker's name in the configuration. It appears in errors and
	// logs; default "default".
	Name string
	// URI returns the server's address, with user, password and database. It is
	// called by New and again for every new connection, so that rotated
	// credentials, certificates and addresses need no restart; only the number of
	// the database, and the nodes that a Cluster is first asked by, are taken once.
	//
	//	redis://host:6379/0                         one server
	//	unix:///run/redis.sock?db=0                 one server
	//	redis+sentinel://host:26379,host/master/0   the master that Sentinel names
	//	redis+cluster://host:6379,host              a Cluster
	//
	// With rediss in the place of redis the connections use TLS. Options in the
	// query are `db` (not of a Cluster); with TLS, redis-py's `ssl_cert_reqs`
	// (none, optional or required), `ssl_check_hostname` (true or false),
	// `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` (paths); and with Sentinel
	// `sentinel_username` and `sentinel_password`, its own credentials.
	URI func() (string, error)
	// MaxConnections bounds the connections of reads and commands together, on a
	// Cluster those to each node; default 100. With one, no read waits on the
	// server. Of the half that is for reads that wait, a quarter are for wake-ups.
	MaxConnections int
	// SocketTimeout is how long a command waits for the server; default 5 s. A
	// read that waits for entries is given that much more.
	SocketTimeout time.Duration
	// ConnectTimeout is how long a new connection may take; default 5 s.
	ConnectTimeout time.Duration
	// RetryOnTimeout sends what timed out once more, as redis-py does: a
	// publication (which may then be there twice) or a Join. The commands of a
	// membership are never repeated.
	RetryOnTimeout bool
	// Logger gets a line whenever the server begins or ceases to refuse that
	// entries are consumed; default slog.Default().
	Logger *slog.Logger
}

const defaultTimeout = 5 * time.Second

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "default"
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 100
	}
	if c.SocketTimeout == 0 {
		c.SocketTimeout = defaultTimeout
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("component", "redisbroker", "broker", c.Name)
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.URI == nil {
		errs = append(errs, errors.New("URI must be set"))
	}
	if c.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("MaxConnections must be positive, got %d", c.MaxConnections))
	}
	if c.SocketTimeout < 0 {
		errs = append(errs, fmt.Errorf("SocketTimeout must be positive, got %s", c.SocketTimeout))
	}
	if c.ConnectTimeout < 0 {
		errs = append(errs, fmt.Errorf("ConnectTimeout must be positive, got %s", c.ConnectTimeout))
	}
	return errors.Join(errs...)
}
