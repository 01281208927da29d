package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/broker"
)

// Broker is a broker over Redis: one server, the master that Sentinel names, or
// a Cluster. Its methods may be called side by side. The caller of [New] closes
// it.
type Broker struct {
	config    Config
	connector *connector
	cluster   bool

	commands  redis.UniversalClient // everything that does not wait
	blocking  redis.UniversalClient // reads that wait
	inspector redis.UniversalClient // health checks and the collector: a connection each

	// goneAfter is for how long a consumer with nothing pending is idle before it is
	// deleted.
	goneAfter time.Duration
	slots     chan struct{} // one for each connection of blocking that a read may hold
	// wanted is set where a read that should have had a slot found none.
	wanted atomic.Bool

	wakeups  []*wakeups
	shared   *redis.Client // blocking, for the wake-ups; nil where no command can wait on all streams
	released *releasedChecks

	serving  serving
	retained retained

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
	b := &Broker{
		config: config, connector: c,
		cluster:   t.kind == cluster,
		commands:  c.client(t, config.MaxConnections-blocking, config.SocketTimeout, true),
		blocking:  c.client(t, max(blocking, 1), config.SocketTimeout+maxBlock, false),
		inspector: c.client(t, 2, config.SocketTimeout, true),
		goneAfter: goneAfter,
		closing:   make(chan struct{}),
		closed:    make(chan struct{}),
	}
	slots, waking := blocking, 1
	if shared, ok := b.blocking.(*redis.Client); ok && blocking > 0 {
		b.shared = shared
		waking = max(blocking/wakingPart, 1)
		slots -= waking
	}
	b.slots = make(chan struct{}, slots)
	for range waking {
		b.wakeups = append(b.wakeups, newWakeups(b))
	}
	b.released = newReleasedChecks(b)
	return b, nil
}

// Capabilities are all that a broker may have.
func (b *Broker) Capabilities() broker.Capability {
	return broker.ConsumerGroups | broker.DeadLetters | broker.BlockingRead | broker.Durable
}

// Ping fails where entries cannot be consumed: the server does not answer, or it
// refuses (a replica, too few replicas, a replica without its master, data being
// loaded, a missing right). A right to what no member has done yet may be missing
// unnoticed. It uses a connection of its own and changes nothing.
func (b *Broker) Ping(ctx context.Context) error {
	return b.do("ping", func() error {
		pipe := b.inspector.Pipeline()
		probe := b.queueProbe(ctx, pipe)
		cmds, err := pipe.Exec(ctx)
		if err := connectionError(cmds, err); err != nil {
			return err
		}
		return b.noteProbe(ctx, probe)
	})
}

// PoolActive is how many of MaxConnections are in use now; on a Cluster, over all
// nodes.
func (b *Broker) PoolActive() int {
	active := 0
	for _, client := range []redis.UniversalClient{b.commands, b.blocking} {
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

// closeAll closes each connection, which over TLS takes a round trip.
func (b *Broker) closeAll() {
	defer close(b.closed)
	if err := errors.Join(b.blocking.Close(), b.commands.Close(), b.inspector.Close()); err != nil {
		b.closeErr = fmt.Errorf("redis broker %q: close: %w", b.config.Name, err)
	}
	for _, w := range b.wakeups {
		w.close()
	}
	b.released.close()
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
	return fmt.Errorf("redis broker %q: %s: %w", b.config.Name, what, b.connector.hide(b.clarify(err)))
}

func (b *Broker) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// whileOpen returns a context that ends when Close begins. The caller cancels it.
func (b *Broker) whileOpen() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		select {
		case <-b.closing:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// retryOnTimeout runs an operation once more where it timed out and the
// configuration allows that it is repeated.
func (b *Broker) retryOnTimeout(operation func() error) error {
	err := operation()
	var timeout net.Error
	if b.config.RetryOnTimeout && errors.As(err, &timeout) && timeout.Timeout() {
		return operation()
	}
	return err
}
