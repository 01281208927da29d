// Package postgres is the adapter for PostgreSQL: a pool of pgx connections
// with the semantics of SQLAlchemy's QueuePool, from which handlers borrow, and
// one connection beside it for health checks and figures.
package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/database"
)

// Database is one PostgreSQL database. It is safe for concurrent use. The
// caller of New closes it.
type Database struct {
	config Config
	pool   *pool
	probe  *probe
	// cut ends what still opens connections when Close cannot wait any longer.
	cut context.CancelFunc
	ctx context.Context
}

// New returns a Database. It connects to nothing; connections open as they are
// borrowed.
func New(c Config) (*Database, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("database %q: %w", c.Name, err)
	}
	d := &Database{config: c, pool: newPool(c.PoolSize, c.limit())}
	d.ctx, d.cut = context.WithCancel(context.Background())
	d.probe = newProbe(c.connect, d.discard)
	return d, nil
}

// Acquire borrows a connection, to be given back by Release. It opens one where
// none is idle and fewer than PoolSize + MaxOverflow are open; otherwise it
// waits its turn until ctx ends, or for PoolTimeout: then the error is
// [database.ErrPoolTimeout]. After Close it is [database.ErrClosed].
func (d *Database) Acquire(ctx context.Context) (*Conn, error) {
	s, err := d.pool.take(ctx, d.config.PoolTimeout)
	if err != nil {
		return nil, d.explain(err)
	}
	if err := d.prepare(ctx, s); err != nil {
		d.pool.drop(s)
		return nil, d.explain(err)
	}
	return &Conn{Conn: s.conn, database: d, session: s}, nil
}

// Connect opens a connection that is no part of the pool, for what belongs to a
// session: the caller closes it.
func (d *Database) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := d.config.connect(ctx)
	return conn, d.explain(err)
}

// Inspect calls fn with the connection that health checks use, one caller at a
// time. A connection that broke while it was idle is replaced, and fn called
// again.
func (d *Database) Inspect(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	return d.explain(d.probe.do(ctx, fn))
}

// Hide keeps the user, and what else of the address may be secret, out of the text of
// an error that came of a borrowed connection.
func (d *Database) Hide(err error) error { return d.config.hide(err) }

// Do runs fn in a transaction, which is committed when fn returns nil and
// rolled back when it returns an error or panics.
func (d *Database) Do(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	conn, err := d.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // rolls back what is still open
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("database %q: begin: %w", d.config.Name, d.config.hide(err))
	}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("database %q: commit: %w", d.config.Name, d.config.hide(err))
	}
	return nil
}

// Stats returns the pool's figures. They are this process' own and known
// whether the server is up or not.
func (d *Database) Stats() database.PoolStats { return d.pool.stats() }

// Ping asks the server for an answer, over a connection of its own: it neither
// waits for the pool nor changes its figures.
func (d *Database) Ping(ctx context.Context) error {
	err := d.probe.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	return d.explain(err)
}

// Close refuses new borrowers, closes what is idle and waits for what is
// borrowed until ctx ends. What is still out then is closed while in
// use, and the error says how many those were. Repeating it is
// harmless.
func (d *Database) Close(ctx context.Context) error {
	for _, s := range d.pool.close() {
		d.end(s)
	}
	d.probe.close(ctx)
	select {
	case <-d.pool.gone:
		return nil
	default:
	}
	select {
	case <-d.pool.gone:
		return nil
	case <-ctx.Done():
		return d.force(ctx.Err())
	}
}

// force closes what is still in use.
func (d *Database) force(cause error) error {
	d.cut()
	n := d.pool.cut()
	if n == 0 {
		return nil // only closed ones linger
	}
	return fmt.Errorf("database %q: closed %d connections that were still in use: %w", d.config.Name, n, cause)
}

// explain says which database an error is about, and what to do where the pool
// is exhausted.
func (d *Database) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, database.ErrPoolTimeout):
		return fmt.Errorf("database %q: %w: all of pool_size %d + max_overflow %d were in use for %s; "+
			"raise them, or hold connections for a shorter time",
			d.config.Name, err, d.config.PoolSize, *d.config.MaxOverflow, d.config.PoolTimeout)
	default:
		return fmt.Errorf("database %q: %w", d.config.Name, d.config.hide(err))
	}
}
