package messagedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/retry"
)

const (
	// gapWait is how long one read of all messages waits at a gap, asking each
	// gapPause which writers are open.
	gapWait  = time.Second
	gapPause = 20 * time.Millisecond
	// probeLimit is how long the insertion of a missing position may wait for the
	// transaction that has it, and probedAtMost how many positions of a gap are tried.
	probeLimit   = 50 * time.Millisecond
	probedAtMost = 10_000
)

// gaps is what is known of missing positions. A position is taken before its
// message is committed, so that one may be missing because its transaction is
// open, or for good because that was rolled back.
//
// A transaction locks the table of messages before it takes a position, and
// positions are taken in their order. So a transaction that may fill a gap held that lock when
// a message above the gap was first seen: what began later cannot, and what has
// ended since will not. Of those that stay open for long the index of positions
// tells which has the missing one, committed or not.
type gaps struct {
	timeout time.Duration

	mu      sync.Mutex
	settled int64   // what is missing up to here is missing for good
	sights  []sight // above it, in the order of their heads
	warned  int64   // the missing position that the log has
}

// sight is a message that was seen, and the transactions that may fill what was
// missing below it.
type sight struct {
	head    int64
	since   time.Time
	writers []writer
}

// writer is a transaction that has written messages, or is about to.
type writer struct {
	transaction string // its virtual id
	pid         *int32 // nil of a prepared one
	// statement is when its statement began; nil where the user may not see that.
	statement *time.Time
	// finished says that it has ended the statement in which it was at the sight: all
	// positions that it had taken then are in the index.
	finished bool
	name     string
}

// forget drops what is known: the store may be another one now.
func (g *gaps) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled, g.sights, g.warned = 0, nil, 0
}

func (g *gaps) settledUpTo() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settled
}

// update takes the writers that are open after a message at head was seen.
func (g *gaps) update(head int64, open []writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.sights {
		s := &g.sights[i]
		var left []writer
		for _, w := range open {
			was := slices.IndexFunc(s.writers, func(o writer) bool { return o.transaction == w.transaction })
			switch {
			case was >= 0:
				o := s.writers[was]
				o.finished = o.finished || w.finished || o.statement != nil && w.statement != nil && !o.statement.Equal(*w.statement)
				left = append(left, o)
			case w.pid == nil: // a transaction gets another id when it is prepared
				left = append(left, w)
			}
		}
		s.writers = left
	}
	if newest := len(g.sights) - 1; head > g.settled && (newest < 0 || g.sights[newest].head < head) {
		g.sights = append(g.sights, sight{head, time.Now(), open})
	}
	// The writers of a later sight are those of an earlier one, and more.
	for i, s := range slices.Backward(g.sights) {
		if len(s.writers) == 0 {
			g.settled, g.sights = s.head, slices.Clone(g.sights[i+1:])
			break
		}
	}
}

// of is the first sight of a message above a missing position.
func (g *gaps) of(missing int64) sight {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.sights, func(s sight) bool { return s.head > missing })
	if i < 0 {
		return sight{since: time.Now()} // another reader found it settled meanwhile
	}
	s := g.sights[i]
	s.writers = slices.Clone(s.writers)
	return s
}

// isNews reports, once, that the log does not have a missing position.
func (g *gaps) isNews(missing int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	news := g.warned != missing
	g.warned = missing
	return news
}

// readAll reads all messages, up to the first position that is missing and may
// still appear.
func (s *Store) readAll(ctx context.Context, after int64, max int) (got []message.Recorded, err error) {
	const sql = "SELECT " + columns + " FROM messages WHERE global_position > $1 ORDER BY global_position LIMIT $2"
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		end := time.Now().Add(gapWait)
		for first := true; ; first = false {
			settled := s.gaps.settledUpTo() // before the read, which has all that there will be up to there
			if got, err = read(ctx, conn, max, sql, after, max); err != nil {
				return err
			}
			final := withoutGap(after, settled, got)
			if final == len(got) || final > 0 && !first {
				got = got[:final]
				return nil
			}
			missing, next := after+1, got[final].GlobalPosition
			if final > 0 {
				missing = got[final-1].GlobalPosition + 1
			}
			open, err := writersOf(ctx, conn)
			if err != nil {
				return err
			}
			s.gaps.update(got[len(got)-1].GlobalPosition, open)
			switch {
			case s.gaps.settledUpTo() > missing:
				continue // what was committed meanwhile is read with the rest
			case final > 0:
				got = got[:final]
				return nil
			}
			empty, err := s.examine(ctx, conn, missing, next-1)
			if err != nil {
				return err
			}
			if empty {
				got = got[:withoutGap(after, next, got)]
				return nil
			}
			if time.Now().After(end) {
				got = nil
				return nil
			}
			if !retry.Sleep(ctx, gapPause) {
				return ctx.Err()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// withoutGap is how many messages have nothing missing below them that may still
// appear, where all is settled up to a position.
func withoutGap(after, settled int64, got []message.Recorded) int {
	for i, r := range got {
		if r.GlobalPosition > settled && r.GlobalPosition != after+1 {
			return i
		}
		after = r.GlobalPosition
	}
	return len(got)
}

// writersOf are the transactions that have written messages, or are about to. What
// a session does is seen by its own user, and by those with pg_read_all_stats.
func writersOf(ctx context.Context, conn *pgx.Conn) ([]writer, error) {
	rows, err := conn.Query(ctx, `SELECT l.virtualtransaction, l.pid, a.query_start,
			l.pid IS NULL OR coalesce(a.state LIKE 'idle in transaction%', false),
			CASE WHEN l.pid IS NULL THEN 'prepared' ELSE concat_ws(' ', 'pid', l.pid, 'of', a.usename, nullif(a.application_name, ''), 'since', a.xact_start) END
		FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE l.relation = 'messages'::regclass AND l.mode = 'RowExclusiveLock'
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w writer, err error) {
		err = row.Scan(&w.transaction, &w.pid, &w.statement, &w.finished, &w.name)
		return w, err
	})
}

// examine reports whether the positions of a gap are found to be no open
// transaction's, though some that may have taken them are open for longer than the
// time-out. Until it is, the log names them.
func (s *Store) examine(ctx context.Context, conn *pgx.Conn, from, to int64) (empty bool, err error) {
	sight := s.gaps.of(from)
	if time.Since(sight.since) < s.gaps.timeout || len(sight.writers) == 0 {
		return false, nil
	}
	canTell := to-from < probedAtMost
	for _, w := range sight.writers {
		canTell = canTell && w.finished
	}
	if canTell {
		if empty, err = probe(ctx, conn, from, to); empty {
			return true, err
		}
		if code := codeOf(err); code != "" && code != insufficientPrivilege {
			return false, err
		}
	}
	if s.gaps.isNews(from) {
		names := make([]string, len(sight.writers))
		for i, w := range sight.writers {
			names[i] = w.name
		}
		s.log.Warn("a position is missing, and transactions that may fill it are open; reading all messages waits until they end",
			"position", from, "transactions", names)
	}
	return false, nil
}

// probe reports whether no open transaction has taken one of these positions. The
// index of positions has those of messages that are not committed, and an insertion
// of the same one waits for their transaction. What is inserted is rolled back.
func probe(ctx context.Context, conn *pgx.Conn, from, to int64) (empty bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", probeLimit.Milliseconds())); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO messages (global_position, position, stream_name, type)
			SELECT p, p, 'observatory:probe', 'Probe' FROM generate_series($1::bigint, $2::bigint) AS p`, from, to)
		if err != nil {
			return err
		}
		return errProbed
	})
	switch {
	case errors.Is(err, errProbed):
		return true, nil
	case codeOf(err) == lockNotAvailable, codeOf(err) == uniqueViolation: // is taken; was committed meanwhile
		return false, nil
	}
	return false, err
}

// errProbed rolls a probe back.
var errProbed = errors.New("nothing has the positions")
