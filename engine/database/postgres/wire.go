package postgres

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// wire is a connection that counts what passes it.
type wire struct {
	net.Conn
	bytes atomic.Int64
}

// Read implements [net.Conn].
func (w *wire) Read(b []byte) (n int, err error) {
	n, err = w.Conn.Read(b)
	w.bytes.Add(int64(n))
	return n, err
}

// Write implements [net.Conn].
func (w *wire) Write(b []byte) (n int, err error) {
	n, err = w.Conn.Write(b)
	w.bytes.Add(int64(n))
	return n, err
}

// countTraffic has the connections of a session count what passes them.
func countTraffic(session *pgx.ConnConfig) {
	session.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return &wire{Conn: conn}, nil
	}
}

// Traffic is how many bytes were sent and received over the connection: while it
// grows, the server is not silent. It may be called while the connection is in use,
// and until Release.
func (c *Conn) Traffic() int64 {
	if w, counts := c.PgConn().Conn().(*wire); counts {
		return w.bytes.Load()
	}
	return 0
}
