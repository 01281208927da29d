package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/collector"
)

const (
	// countLimit is where counting stops: a sample of this size says "at
	// least".
	countLimit = 100_001
	// lockTimeout keeps a count from waiting for a migration that holds the
	// table, and health checks behind it.
	lockTimeout = "500ms"
)

// outboxTables are where outbox rows may be: Python's table, and ours.
var outboxTables = []string{"outbox", "observatory_outbox"}

// source reads the figures of a Database for a collector.
type source struct {
	database         *Database
	domain, provider string
}

// Source returns the figures of the database for a collector. The provider is
// the database's name under [databases]; the source is named
// "database:<provider>".
func (d *Database) Source(domain, provider string) collector.Source {
	return &source{database: d, domain: domain, provider: provider}
}

// Name is the source's name.
func (s *source) Name() string { return "database:" + s.provider }

// outboxProvider is the database whose outbox is a domain's figure, as in the
// original: the figure has no label that would distinguish two of them.
const outboxProvider = "default"

// Collect returns the pool's figures, which are always known, and how many rows
// of the outbox of the domain's database `default` are pending (at most 100,001;
// nothing where the schema has no outbox). An error is the server's.
func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	figures := collector.Figures{Pools: []collector.Pool{s.pool()}}
	if s.provider != outboxProvider {
		return figures, s.database.Ping(ctx)
	}
	pending, err := s.database.pending(ctx)
	if err != nil {
		return figures, fmt.Errorf("database %q: count the outbox: %w", s.provider, s.database.config.hide(err))
	}
	if pending.Known {
		figures.Outboxes = []collector.Outbox{{Domain: s.domain, Pending: pending}}
	}
	return figures, nil
}

func (s *source) pool() collector.Pool {
	stats := s.database.Stats()
	return collector.Pool{
		Domain:       s.domain,
		Provider:     s.provider,
		DatabaseType: "postgresql",
		Size:         stats.Size,
		CheckedOut:   stats.CheckedOut,
		Overflow:     stats.Overflow,
		CheckedIn:    stats.CheckedIn,
	}
}

// pending counts the rows to be published, in all outbox tables together.
func (d *Database) pending(ctx context.Context) (collector.Value, error) {
	var pending collector.Value
	readOnly := pgx.TxOptions{AccessMode: pgx.ReadOnly}
	err := d.probe.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, readOnly, func(tx pgx.Tx) (err error) {
			pending, err = d.count(ctx, tx)
			return err
		})
	})
	return pending, err
}

func (d *Database) count(ctx context.Context, tx pgx.Tx) (collector.Value, error) {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockTimeout+"'"); err != nil {
		return collector.Value{}, err
	}
	tables, err := d.existing(ctx, tx)
	if err != nil || len(tables) == 0 {
		return collector.Value{}, err
	}
	var n int64
	err = tx.QueryRow(ctx, countQuery(tables)).Scan(&n)
	return collector.Value{V: float64(n), Known: err == nil}, err
}

// existing returns the outbox tables that there are, quoted.
func (d *Database) existing(ctx context.Context, tx pgx.Tx) ([]string, error) {
	var all []string
	for _, table := range outboxTables {
		all = append(all, pgx.Identifier{d.config.Schema, table}.Sanitize())
	}
	rows, err := tx.Query(ctx, "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL", all)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func countQuery(tables []string) string {
	var selects []string
	for _, table := range tables {
		selects = append(selects, "SELECT 1 FROM "+table+" WHERE status = 'pending'")
	}
	return fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) AS pending", strings.Join(selects, " UNION ALL "), countLimit)
}
