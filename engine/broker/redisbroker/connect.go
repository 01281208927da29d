package redisbroker

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// connector makes connections to wherever the URI says now.
type connector struct {
	uri     func() (string, error)
	timeout time.Duration // of making one
}

// target reads the URI again.
func (c *connector) target() (target, error) {
	uri, err := c.uri()
	if err != nil {
		return target{}, fmt.Errorf("read the URI: %w", err)
	}
	t, err := parseURI(uri)
	if err != nil {
		return target{}, fmt.Errorf("URI: %w", err)
	}
	return t, nil
}

// client returns a client of up to n connections that sends every command once
// and waits that long for a reply; bounded ones no longer than their context.
func (c *connector) client(t target, n int, patience time.Duration, bounded bool) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                       t.addr,
		DB:                         t.database,
		Dialer:                     c.dial,
		CredentialsProviderContext: c.credentials,

		// The protocol that the parser of group reads speaks; nothing here needs
		// version 3, whose pushes would cost a look before every reply.
		Protocol:                 2,
		DisableIdentity:          true, // a round trip more, and refused to narrow ACL users
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},

		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           c.timeout,
		ReadTimeout:           patience,
		WriteTimeout:          patience,
		PoolTimeout:           patience,
		ContextTimeoutEnabled: bounded,

		PoolSize:         n,
		MaxActiveConns:   n,
		PipelinePoolSize: -1,
	})
}

func (c *connector) credentials(context.Context) (username, password string, err error) {
	t, err := c.target()
	return t.username, t.password, err
}

// dial never fails: a connection that could not be made fails at its first use
// instead. go-redis would print each failed dial on standard error, and after
// some go on dialing by itself while answering with an old error.
func (c *connector) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return unreachable{err}, nil //nolint:nilerr // told at first use
	}
	return conn, nil
}

func (c *connector) connect(ctx context.Context) (net.Conn, error) {
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	plain := net.Dialer{Timeout: c.timeout}
	if t.tls == nil {
		return plain.DialContext(ctx, t.network, t.addr)
	}
	secure := tls.Dialer{NetDialer: &plain, Config: t.tls}
	conn, err := secure.DialContext(ctx, t.network, t.addr)
	if err != nil {
		return nil, fmt.Errorf("TLS to %s: %w", t.addr, err)
	}
	return conn, nil
}

// unreachable stands for a connection that could not be made.
type unreachable struct{ err error }

func (u unreachable) Read([]byte) (int, error)         { return 0, u.failure() }
func (u unreachable) Write([]byte) (int, error)        { return 0, u.failure() }
func (u unreachable) Close() error                     { return nil }
func (u unreachable) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (u unreachable) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (u unreachable) SetDeadline(time.Time) error      { return nil }
func (u unreachable) SetReadDeadline(time.Time) error  { return nil }
func (u unreachable) SetWriteDeadline(time.Time) error { return nil }

// failure wraps once more, since go-redis unwraps once.
func (u unreachable) failure() error { return fmt.Errorf("connect: %w", u.err) }
