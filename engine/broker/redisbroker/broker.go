package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/broker"
)

// Broker is a broker over one Redis. Its methods may be called side by side.
// Make one with [New]; whoever made it closes it.
type Broker struct {
	config Config

	commands *redis.Client // everything that does not wait
	blocking *redis.Client // reads that wait
	looker   *redis.Client // health checks and the collector: a connection each

	slots chan struct{} // one for each connection of blocking

	closeOnce sync.Once
	closing   chan struct{} // closed when Close begins
	closed    chan struct{} // closed when it is done
	closeErr  error         // what came of it
}

// New returns a broker. It does not connect: a server that is down shows in
// [Broker.Ping] and in each operation. It fails where the config or the URI
// cannot work.
func New(config Config) (*Broker, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("redis broker %q: %w", config.Name, err)
	}
	c := &connector{uri: config.URI, timeout: config.ConnectTimeout}
	t, err := c.target()
	if err != nil {
		return nil, fmt.Errorf("redis broker %q: %w", config.Name, err)
	}
	blocking := config.MaxConnections / 2
	return &Broker{
		config:   config,
		commands: c.client(t, config.MaxConnections-blocking, config.SocketTimeout, true),
		blocking: c.client(t, max(blocking, 1), config.SocketTimeout+maxBlock, false),
		looker:   c.client(t, 2, config.SocketTimeout, true),
		slots:    make(chan struct{}, blocking),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
	}, nil
}

// Capabilities are all that a broker may have.
func (b *Broker) Capabilities() broker.Capability {
	return broker.ConsumerGroups | broker.DeadLetters | broker.BlockingRead | broker.Durable
}

// Ping asks the server for a sign of life, on a connection of its own.
func (b *Broker) Ping(ctx context.Context) error {
	return b.do("ping", func() error { return b.looker.Ping(ctx).Err() })
}

// PoolActive is how many of MaxConnections are in use now.
func (b *Broker) PoolActive() int {
	active := 0
	for _, client := range []*redis.Client{b.commands, b.blocking} {
		stats := client.PoolStats()
		active += max(0, int(stats.TotalConns)-int(stats.IdleConns))
	}
	return active
}

// Close ends all connections, which also ends reads that wait. What is called
// afterwards, or was under way, fails with broker.ErrClosed. It returns when
// the connections are closed or ctx ends, and is harmless when repeated.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		close(b.closing)
		go b.closeAll()
	})
	select {
	case <-b.closed:
		return b.closeErr
	case <-ctx.Done():
		return fmt.Errorf("redis broker %q: close: %w", b.config.Name, ctx.Err())
	}
}

// closeAll says goodbye on each connection, which over TLS may take a while.
func (b *Broker) closeAll() {
	defer close(b.closed)
	if err := errors.Join(b.blocking.Close(), b.commands.Close(), b.looker.Close()); err != nil {
		b.closeErr = fmt.Errorf("redis broker %q: close: %w", b.config.Name, err)
	}
}

// do runs one operation, unless the broker is closed; what names it in errors.
func (b *Broker) do(what string, operation func() error) error {
	err := broker.ErrClosed
	if !b.isClosing() {
		err = operation()
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis broker %q: %s: %w", b.config.Name, what, b.clarify(err))
}

func (b *Broker) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// patiently runs an operation once more where it timed out and may be repeated.
func (b *Broker) patiently(operation func() error) error {
	err := operation()
	var timeout net.Error
	if b.config.RetryOnTimeout && errors.As(err, &timeout) && timeout.Timeout() {
		return operation()
	}
	return err
}
