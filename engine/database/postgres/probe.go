package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/database"
)

// probe is one connection beside the pool, for health checks and the collector:
// using it neither changes the pool's figures nor hangs when the pool is
// exhausted. It opens when it is first used, and again when it broke.
type probe struct {
	connect func(context.Context) (*pgx.Conn, error)
	discard func(*pgx.Conn)
	turn    chan struct{} // holds one token while the connection is in use
	conn    *pgx.Conn
	closed  context.Context
	end     context.CancelFunc
}

func newProbe(connect func(context.Context) (*pgx.Conn, error), discard func(*pgx.Conn)) *probe {
	p := &probe{connect: connect, discard: discard, turn: make(chan struct{}, 1)}
	p.closed, p.end = context.WithCancel(context.Background())
	return p
}

// do calls inspect with the connection, one caller at a time. A connection that
// broke while it was idle is replaced, and inspect called again.
func (p *probe) do(ctx context.Context, inspect func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.closed, cancel)()
	select {
	case p.turn <- struct{}{}:
		defer p.next()
	case <-ctx.Done():
		return p.because(ctx.Err())
	}
	if p.closed.Err() != nil {
		return database.ErrClosed
	}
	reused := p.conn != nil
	err := p.try(ctx, inspect)
	if err != nil && reused && p.conn == nil && ctx.Err() == nil {
		err = p.try(ctx, inspect)
	}
	return p.because(err)
}

func (p *probe) try(ctx context.Context, inspect func(context.Context, *pgx.Conn) error) (err error) {
	if p.conn == nil {
		if p.conn, err = p.connect(ctx); err != nil {
			return err
		}
	}
	if err = inspect(ctx, p.conn); p.conn.IsClosed() {
		p.forget()
	}
	return err
}

func (p *probe) forget() {
	if p.conn != nil {
		p.discard(p.conn)
		p.conn = nil
	}
}

// next lets the next caller in.
func (p *probe) next() {
	if p.closed.Err() != nil {
		p.forget()
	}
	<-p.turn
}

// because names the reason of an error that closing caused.
func (p *probe) because(err error) error {
	if err != nil && p.closed.Err() != nil {
		return database.ErrClosed
	}
	return err
}

// close cancels the call under way, and closes the connection.
func (p *probe) close(ctx context.Context) {
	p.end()
	select {
	case p.turn <- struct{}{}:
		p.next()
	case <-ctx.Done():
	}
}
