package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pingTimeout bounds the test of a connection before its use.
	pingTimeout = 5 * time.Second
	// resetTimeout and closeTimeout bound what Release does on the wire.
	resetTimeout = 5 * time.Second
	closeTimeout = time.Second
)

// Conn is a borrowed connection, for one goroutine at a time. It must not be
// used after Release, nor closed by its borrower.
type Conn struct {
	*pgx.Conn
	database *Database
	session  *session
	released atomic.Bool
}

// Release gives the connection back. An open transaction is rolled back; a
// broken connection is thrown away, and one beyond pool_size is closed before
// Release returns. Repeating it is harmless.
func (c *Conn) Release() {
	if c.released.Swap(true) {
		return
	}
	if !c.database.reset(c.session) || !c.database.pool.put(c.session) {
		c.database.end(c.session)
	}
}

// prepare makes a session that was handed out ready for use.
func (d *Database) prepare(ctx context.Context, s *session) error {
	if s.conn != nil {
		if d.usable(ctx, s) {
			return nil
		}
		d.discard(s.conn)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	conn, err := d.config.connect(ctx)
	if err != nil {
		return err
	}
	if err := d.pool.fill(s, conn); err != nil {
		d.discard(conn)
		return err
	}
	return nil
}

// usable reports whether an idle connection can be used again.
func (d *Database) usable(ctx context.Context, s *session) bool {
	if s.conn.IsClosed() {
		return false
	}
	if age := d.config.PoolRecycle; age > 0 && time.Since(s.opened) >= age {
		return false
	}
	if untested := d.pool.untested(s); !untested && !d.config.PrePing {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.conn.Ping(ctx) == nil
}

// reset ends what a borrower left open, and reports whether the connection can
// be used by another.
func (d *Database) reset(s *session) bool {
	pg := s.conn.PgConn()
	switch {
	case pg.IsClosed():
		d.pool.broke()
		return false
	case pg.IsBusy(): // rows that were not read
		return false
	case pg.TxStatus() == idle:
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), resetTimeout)
	defer cancel()
	_, err := s.conn.Exec(ctx, "ROLLBACK")
	return err == nil && pg.TxStatus() == idle
}

// idle is the transaction status of a session outside any transaction.
const idle = 'I'

// end closes a session's connection, and drops the session when it is gone.
func (d *Database) end(s *session) { d.finish(s.conn, func() { d.pool.drop(s) }) }

// discard closes a connection that is no session's any more.
func (d *Database) discard(conn *pgx.Conn) {
	d.pool.linger(1)
	d.finish(conn, func() { d.pool.linger(-1) })
}

// finish closes a connection and then calls gone. A connection whose query was
// interrupted is closed by pgx in the background, since the query must be
// cancelled first; Close waits for that too.
func (d *Database) finish(conn *pgx.Conn, gone func()) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
	cleaned := conn.PgConn().CleanupDone()
	select {
	case <-cleaned:
		gone()
	default:
		go func() {
			<-cleaned
			gone()
		}()
	}
}
