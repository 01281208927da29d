package messagedb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/eventstore"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

const (
	// aliveEvery is how often the session that holds the locks is tested, and
	// lockLimit how long it may take to answer: together less than the server needs
	// to give a lock to another after the network is cut.
	aliveEvery = time.Second
	lockLimit  = 2500 * time.Millisecond
	// frozenAfter is how long the session of an owner may be without a test before
	// its process is taken for frozen (SIGSTOP, a paused container): its kernel still
	// answers for it, and would keep the locks.
	frozenAfter = 10 * time.Second
)

// endFrozen ends the session that holds a lock where its process is frozen. What
// that process writes when it goes on is refused, since another has written since.
const endFrozen = `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
	AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.database = a.datid AND a.datname = current_database()
	AND a.usename = current_user AND a.state = 'idle' AND a.state_change < clock_timestamp() - make_interval(secs => $3)`

// lockSession has the server notice soon that a session's client is gone: within
// five seconds after the network was cut, at once where the process ended while a
// query runs. Settings that a server does not have are left out.
const lockSession = `SELECT set_config(s.name, s.value, false)
	FROM (VALUES ('tcp_keepalives_idle', '2'), ('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'),
		('client_connection_check_interval', '500'), ('idle_session_timeout', '0')) AS s(name, value)
	JOIN pg_settings USING (name)`

// locks are the advisory locks of this process, one for each subscription that it
// owns. They belong to one session, on a connection of its own; where that ends,
// so do all of them.
type locks struct {
	connect func(context.Context) (*pgx.Conn, error)

	mu     sync.Mutex // held while the session is in use
	conn   *pgx.Conn  // nil without a lock
	held   map[lockKey]*lock
	closed bool
	stop   chan struct{} // ends the watch of the session; nil where none runs
	watch  sync.WaitGroup
}

type lockKey struct{ subscription, category string }

// lock is one subscription's; ended is closed when it is no more.
type lock struct {
	key   lockKey
	ended chan struct{}
}

func newLocks(connect func(context.Context) (*pgx.Conn, error)) *locks {
	return &locks{connect: connect, held: make(map[lockKey]*lock)}
}

// numbers are what the server knows the lock by. Message-DB's own locks have one
// number, which is another space.
func (k lockKey) numbers() (a, b int32) {
	sum := sha256.Sum256([]byte("observatory\x00" + k.subscription + "\x00" + k.category))
	return int32(binary.BigEndian.Uint32(sum[0:])), int32(binary.BigEndian.Uint32(sum[4:]))
}

// take takes a lock, or returns [catchup.ErrOwned].
func (l *locks) take(ctx context.Context, key lockKey) (*lock, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, eventstore.ErrClosed
	}
	if l.held[key] != nil {
		return nil, catchup.ErrOwned
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	// A query that is cut off would end the session, and with it the other locks.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockLimit)
	defer cancel()
	a, b := key.numbers()
	var taken bool
	if err := l.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", a, b).Scan(&taken); err != nil {
		l.endIfBroken()
		return nil, err
	}
	if !taken {
		if _, err := l.conn.Exec(ctx, endFrozen, int64(uint32(a)), int64(uint32(b)), frozenAfter.Seconds()); err != nil {
			l.endIfBroken()
			return nil, err
		}
		return nil, catchup.ErrOwned // until the next try, at least
	}
	k := &lock{key, make(chan struct{})}
	l.held[key] = k
	return k, nil
}

// open opens the session where there is none, and watches it.
func (l *locks) open(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, lockSession); err != nil {
		_ = conn.Close(ctx)
		return err
	}
	l.conn, l.stop = conn, make(chan struct{})
	stop := l.stop
	l.watch.Go(func() {
		tick := time.NewTicker(aliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			l.test(stop)
		}
	})
	return nil
}

// test ends all locks where the session is gone.
func (l *locks) test(stop chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != stop {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockLimit)
	defer cancel()
	if err := l.conn.Ping(ctx); err != nil {
		l.end()
	}
}

// endIfBroken ends all locks where an error ended the session. l.mu is held.
func (l *locks) endIfBroken() {
	if l.conn.IsClosed() {
		l.end()
	}
}

// end closes the session, and with it ends all locks. l.mu is held.
func (l *locks) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx)
	close(l.stop)
	l.conn, l.stop = nil, nil
	for _, k := range l.held {
		close(k.ended)
	}
	clear(l.held)
}

// release gives a lock back. Harmless where it has ended.
func (l *locks) release(ctx context.Context, k *lock) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[k.key] != k {
		return nil
	}
	delete(l.held, k.key)
	close(k.ended)
	if len(l.held) == 0 { // ending the session gives it back, too
		l.end()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockLimit)
	defer cancel()
	a, b := k.key.numbers()
	_, err := l.conn.Exec(ctx, "SELECT pg_advisory_unlock($1, $2)", a, b)
	if err != nil {
		l.endIfBroken()
	}
	return err
}

// close ends all locks and the session.
func (l *locks) close() {
	l.mu.Lock()
	l.closed = true
	if l.conn != nil {
		l.end()
	}
	l.mu.Unlock()
	l.watch.Wait()
}
