package redisbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/observatory-go/observatory/engine/secret"
)

// connector makes connections to where the URI points at that moment.
type connector struct {
	uri     func() (string, error)
	timeout time.Duration          // of making one
	last    atomic.Pointer[target] // that was read
	// answered is the position of the Sentinel that answered last.
	answered atomic.Int64
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
	c.last.Store(&t)
	return t, nil
}

// hide keeps what the URI has of secrets out of an error: a server repeats the name
// of the user.
func (c *connector) hide(err error) error {
	t := c.last.Load()
	if t == nil {
		return err
	}
	return secret.Secrets{
		Users: []string{t.username, t.sentinelUsername}, Values: []string{t.password, t.sentinelPassword},
	}.Error(err)
}

// client returns a client of up to n connections (to each node of a cluster)
// that waits so long for a reply; a bounded one no longer than its context.
// Outside of a cluster it sends every command once.
func (c *connector) client(t target, n int, wait time.Duration, bounded bool) redis.UniversalClient {
	// Protocol 2 is what the parser of group reads reads; nothing here needs
	// version 3, whose pushes would cost a check before every reply. Identity is a
	// round trip more, and refused to narrow ACL users.
	const protocol = 2
	// A read that waits sends a line and mostly gets a few entries; what is larger
	// than the buffer is read past it.
	readBuffer, writeBuffer := 0, 0 // the client's default: 32 KiB
	if !bounded {
		readBuffer, writeBuffer = 8<<10, 1<<10
	}
	unmanaged := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if t.kind == cluster {
		client := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addrs, Dialer: c.dial, CredentialsProviderContext: c.credentials,
			Protocol: protocol, DisableIdentity: true, MaintNotificationsConfig: unmanaged,
			DisableRoutingPolicies: true,
			MaxRetries:             -1, DialerRetries: 1,
			DialTimeout: c.timeout, ReadTimeout: wait, WriteTimeout: wait, PoolTimeout: wait, ContextTimeoutEnabled: bounded,
			PoolSize: n, MaxActiveConns: n, PipelinePoolSize: -1,
			ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer,
		})
		client.AddHook(&reloadHook{client: client})
		return client
	}
	return redis.NewClient(&redis.Options{
		Addr: t.addrs[0], DB: t.database, Dialer: c.dial, CredentialsProviderContext: c.credentials,
		Protocol: protocol, DisableIdentity: true, MaintNotificationsConfig: unmanaged,
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: c.timeout, ReadTimeout: wait, WriteTimeout: wait, PoolTimeout: wait, ContextTimeoutEnabled: bounded,
		PoolSize: n, MaxActiveConns: n, PipelinePoolSize: -1,
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer,
	})
}

// reloadHook has a client of a cluster ask which node serves which slots after a
// command that got no answer, and again each second until the command is tried
// anew: a replica takes seconds to become the master. go-redis does so by itself
// only before it repeats a command, and otherwise once a minute. It asks in the
// background, and once at a time however many commands fail.
type reloadHook struct {
	client *redis.ClusterClient
	left   atomic.Int64 // times to ask again
}

// askAgain is for longer than a read waits before it is tried again.
const askAgain = 7

func (h *reloadHook) reload() {
	h.client.ReloadState(context.Background())
	if h.left.Swap(askAgain) == 0 {
		time.AfterFunc(time.Second, h.reloadAgain)
	}
}

// reloadAgain does nothing once the client is closed.
func (h *reloadHook) reloadAgain() {
	h.client.ReloadState(context.Background())
	if h.left.Add(-1) > 0 {
		time.AfterFunc(time.Second, h.reloadAgain)
	}
}

// DialHook implements [redis.Hook].
func (*reloadHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (h *reloadHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if isUnanswered(err) {
			h.reload()
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (h *reloadHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return isUnanswered(c.Err()) }) {
			h.reload()
		}
		return err
	}
}

func (c *connector) credentials(context.Context) (username, password string, err error) {
	t, err := c.target()
	return t.username, t.password, err
}

// dial never fails: a connection that could not be made fails at its first use
// instead. go-redis would print each failed dial on standard error, and after
// some go on dialing by itself while answering with an old error.
func (c *connector) dial(ctx context.Context, _, node string) (net.Conn, error) {
	conn, err := c.connect(ctx, node)
	if err != nil {
		return unreachable{err}, nil //nolint:nilerr // returned at first use
	}
	return conn, nil
}

// connect connects to a node of a cluster, to the master that Sentinel names
// now, or to the one server there is.
func (c *connector) connect(ctx context.Context, node string) (net.Conn, error) {
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	switch t.kind {
	case cluster:
		return c.connectTo(ctx, t, node)
	case sentinel:
		master, err := c.masterOf(ctx, t)
		if err != nil {
			return nil, err
		}
		return c.connectTo(ctx, t, master)
	}
	return c.connectTo(ctx, t, t.addrs[0])
}

func (c *connector) connectTo(ctx context.Context, t target, addr string) (net.Conn, error) {
	plain := net.Dialer{Timeout: c.timeout}
	if t.tls == nil {
		return plain.DialContext(ctx, t.network, addr)
	}
	config := t.tls.Clone()
	if t.kind != single {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Dialer{NetDialer: &plain, Config: config}
	conn, err := secure.DialContext(ctx, t.network, addr)
	if err != nil {
		return nil, fmt.Errorf("TLS to %s: %w", addr, err)
	}
	return conn, nil
}

// masterOf asks one Sentinel after the other for the address of the master, the
// one that answered last first. It is asked for every new connection, so that a
// failover needs no subscription: the old master closes its connections, or
// answers READONLY, which ends them.
func (c *connector) masterOf(ctx context.Context, t target) (string, error) {
	var errs []error
	start := int(c.answered.Load())
	for i := range t.addrs {
		n := (start + i) % len(t.addrs)
		addr := t.addrs[n]
		client := redis.NewSentinelClient(&redis.Options{
			Addr: addr, Username: t.sentinelUsername, Password: t.sentinelPassword,
			Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := c.connectTo(ctx, t, addr)
				if err != nil {
					return unreachable{err}, nil //nolint:nilerr // returned at first use
				}
				return conn, nil
			},
			Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			ReadTimeout:              c.timeout, WriteTimeout: c.timeout, ContextTimeoutEnabled: true,
		})
		parts, err := client.GetMasterAddrByName(ctx, t.master).Result()
		_ = client.Close()
		switch {
		case errors.Is(err, redis.Nil):
			err = fmt.Errorf("knows no master %q: give the name that its configuration has in `sentinel monitor`", t.master)
		case err == nil && len(parts) != 2:
			err = errors.New("its answer is no host and port")
		}
		if err == nil {
			c.answered.Store(int64(n))
			return net.JoinHostPort(parts[0], parts[1]), nil
		}
		errs = append(errs, fmt.Errorf("sentinel %s: %w", addr, err))
	}
	return "", errors.Join(errs...)
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
