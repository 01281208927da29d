// Package messagedb is the adapter for Message-DB, the event store in PostgreSQL
// that Protean uses: reading categories and streams, appending with an expected
// version, and the positions of subscriptions as Protean writes them.
package messagedb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/database"
	"github.com/observatory-go/observatory/engine/database/postgres"
	"github.com/observatory-go/observatory/engine/eventstore"
)

// Config is one Message-DB. The keys in parentheses are those of [event_store].
type Config struct {
	// URI returns the address, as libpq reads it (database_uri). It is called for
	// every new connection, and may be called side by side. Required. It must lead
	// to PostgreSQL itself: behind a pooler that shares sessions nothing owns a
	// subscription.
	URI func() (string, error)
	// MaxConnections is how many connections are open at most (max_connections);
	// default 100. Two more are kept: for health checks and the collector, and for
	// the ownership of subscriptions.
	MaxConnections int
	// GapTimeout is how long reading all messages waits at a missing position for the
	// transactions that may fill it, before each is examined whether it can
	// ([server.event_store_subscription] gap_timeout_seconds); default 5 s. Nothing
	// that may still appear is skipped, however long that takes.
	GapTimeout time.Duration
	// Logger is where the store logs; default slog.Default().
	Logger *slog.Logger
}

const (
	defaultMaxConnections = 100
	defaultGapTimeout     = 5 * time.Second
	// kept is how many idle connections stay open.
	kept = 5
	name = "event store"
	// silence is how long an operation may go on without a byte sent or received: a
	// connection that is cut without a word would otherwise hold up a subscription for
	// minutes. A large message may take as long as it arrives.
	silence = 10 * time.Second
)

// Store is one Message-DB. Its methods may be called side by side.
type Store struct {
	db     *postgres.Database
	log    *slog.Logger
	locks  *locks
	poller *poller
	gaps   gaps
	writes atomic.Bool // something of this process writes, or would
}

// New returns a store. It connects to nothing yet; the caller closes it.
func New(c Config) (*Store, error) {
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultMaxConnections
	}
	if c.MaxConnections < 1 {
		return nil, fmt.Errorf("event store: max_connections must be positive, got %d", c.MaxConnections)
	}
	if c.GapTimeout == 0 {
		c.GapTimeout = defaultGapTimeout
	}
	if c.GapTimeout < 0 {
		return nil, fmt.Errorf("event store: gap_timeout_seconds must not be negative, got %s", c.GapTimeout)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	size := min(kept, c.MaxConnections)
	db, err := postgres.New(postgres.Config{
		Name: name, URI: c.URI, PoolSize: size, MaxOverflow: new(c.MaxConnections - size),
		// Functions of the schema call each other, and name its table, without it.
		Settings: map[string]string{"search_path": "message_store, public"},
	})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, log: c.Logger.With("component", name), gaps: gaps{timeout: c.GapTimeout}}
	s.locks = newLocks(db.Connect)
	s.poller = newPoller(s.findNew)
	return s, nil
}

// Ping asks for the version of Message-DB, over the connection of health checks. The
// error names the rights that the user lacks: to read, and to write where this
// process has appended a message, or owned or tried to own a subscription.
func (s *Store) Ping(ctx context.Context) error {
	err := s.db.Inspect(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var missing []string
		const sql = `SELECT array_agg(name) FILTER (WHERE NOT granted AND (NOT writing OR $1)) FROM (VALUES
			('EXECUTE on get_category_messages', false, has_function_privilege('get_category_messages(varchar, bigint, bigint, varchar, bigint, bigint, varchar)', 'EXECUTE')),
			('EXECUTE on get_stream_messages', false, has_function_privilege('get_stream_messages(varchar, bigint, bigint, varchar)', 'EXECUTE')),
			('EXECUTE on get_last_stream_message', false, has_function_privilege('get_last_stream_message(varchar, varchar)', 'EXECUTE')),
			('SELECT on messages', false, has_table_privilege('messages', 'SELECT')),
			('EXECUTE on write_message', true, has_function_privilege('write_message(varchar, varchar, varchar, jsonb, jsonb, bigint)', 'EXECUTE')),
			('INSERT on messages', true, has_table_privilege('messages', 'INSERT')),
			('USAGE on messages_global_position_seq', true, has_sequence_privilege('messages_global_position_seq', 'USAGE'))
		) AS rights(name, writing, granted) WHERE message_store_version() IS NOT NULL`
		if err := conn.QueryRow(ctx, sql, s.writes.Load()).Scan(&missing); err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("event store: the user of database_uri lacks %s: it needs the role message_store (GRANT message_store TO <user>)", strings.Join(missing, ", "))
		}
		return nil
	})
	return explain(err)
}

// Close ends all ownerships and closes the connections, waiting for borrowed ones
// until ctx ends. Repeating it is harmless.
func (s *Store) Close(ctx context.Context) error {
	s.poller.close()
	s.locks.close()
	return s.db.Close(ctx)
}

// errSilent ends an operation whose server is silent.
var errSilent = fmt.Errorf("event store: the server was silent for %s: %w", silence, context.DeadlineExceeded)

// do calls fn with a connection of the pool, until the server is silent for too long.
func (s *Store) do(ctx context.Context, fn func(ctx context.Context, conn *pgx.Conn) error) error {
	acquiring, acquired := context.WithTimeout(ctx, silence)
	conn, err := s.db.Acquire(acquiring)
	acquired()
	if err != nil {
		return explain(err)
	}
	defer conn.Release()
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(silence / 20)
		defer tick.Stop()
		for traffic, since := conn.Traffic(), time.Now(); time.Since(since) < silence; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now := conn.Traffic(); now != traffic {
				traffic, since = now, time.Now()
			}
		}
		cancel(errSilent)
	})
	err = fn(ctx, conn.Conn)
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	}
	cancel(nil)
	watch.Wait()
	return explain(s.db.Hide(err))
}

// explain adds what to do where the database has no Message-DB.
func explain(err error) error {
	if errors.Is(err, database.ErrClosed) {
		return eventstore.ErrClosed
	}
	switch codeOf(err) {
	case undefinedFunction, undefinedTable, invalidSchema:
		return fmt.Errorf("event store: Message-DB is not installed in the database that database_uri names, or its user may not use it "+
			"(GRANT message_store TO <user>): %w", err)
	case insufficientPrivilege:
		return fmt.Errorf("event store: the user of database_uri needs the role message_store (GRANT message_store TO <user>): %w", err)
	}
	return err
}
