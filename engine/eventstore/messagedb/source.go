package messagedb

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// countLimit is where counting the messages behind a position stops: a figure of
// this size says "at least".
const countLimit = 10_001

// failuresLimit is how many rows of failed positions since their checkpoint are read
// at most: how many are not settled is unknown where there are more.
const failuresLimit = 50_000

// sourceName is the source's name in a snapshot.
const sourceName = "event_store"

// source reads the figures of subscriptions for a collector.
type source struct {
	store   *Store
	domain  string
	watched []collector.Watch
}

// Source returns the figures of the store and of subscriptions for a collector. It
// is named "event_store".
func (s *Store) Source(domain string, watched []collector.Watch) collector.Source {
	return source{s, domain, watched}
}

// Name is the source's name.
func (s source) Name() string { return sourceName }

// number is a text as a bigint, NULL where it is none: rows of any shape may stand
// in the streams that are read.
func number(text string) string {
	return "CASE WHEN (" + text + ") ~ '^-?[0-9]{1,19}$' THEN CASE WHEN (" + text + ")::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN (" +
		text + ")::bigint END END"
}

// numberIn is a value in JSON as a bigint, NULL where it is none: a text is none to
// the owner of the subscription either.
func numberIn(value string) string {
	return "CASE WHEN jsonb_typeof(" + value + ") = 'number' THEN " + number(value+" #>> '{}'") + " END"
}

// figuresQuery has one row for each subscription: whether its last position can be
// read, whether that is beyond its own row, how many messages of its category are
// behind it, the age of the oldest of those, how many failed positions are not
// settled, and how many are given up. A subscription to all messages does not count
// what subscriptions themselves write.
var figuresQuery = fmt.Sprintf(`
SELECT w.i - 1, last.data IS NULL OR p.position IS NOT NULL, coalesce(p.position >= last.global_position, false), behind.n,
	CASE WHEN isfinite(oldest.time) THEN greatest(extract(epoch FROM (now() AT TIME ZONE 'utc') - oldest.time), 0)::float8 END, failed.n, exhausted.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w(category, positions, failures, checkpoints, i)
LEFT JOIN LATERAL (
	SELECT coalesce(data, 'null') AS data, global_position FROM messages WHERE stream_name = w.positions ORDER BY messages.position DESC LIMIT 1
) AS last ON true
CROSS JOIN LATERAL (SELECT %[2]s AS position) AS p
CROSS JOIN LATERAL (
	SELECT count(*) AS n FROM (
		SELECT FROM messages WHERE w.category <> '$all' AND category(stream_name) = w.category AND global_position > coalesce(p.position, 0)
		UNION ALL
		SELECT FROM messages WHERE w.category = '$all' AND global_position > coalesce(p.position, 0)
			AND category(stream_name) NOT IN ('position', 'failed', 'recovery', '%[6]s') AND type <> 'SNAPSHOT'
		LIMIT %[1]d
	) AS counted
) AS behind
LEFT JOIN LATERAL (
	SELECT time FROM (
		(SELECT time FROM messages WHERE w.category <> '$all' AND category(stream_name) = w.category AND global_position > coalesce(p.position, 0)
			ORDER BY global_position LIMIT 1)
		UNION ALL
		(SELECT time FROM messages WHERE w.category = '$all' AND global_position > coalesce(p.position, 0)
			AND category(stream_name) NOT IN ('position', 'failed', 'recovery', '%[6]s') AND type <> 'SNAPSHOT'
			ORDER BY global_position LIMIT 1)
	) AS first
) AS oldest ON true
LEFT JOIN LATERAL (
	SELECT data, global_position FROM messages WHERE stream_name = w.checkpoints ORDER BY position DESC LIMIT 1
) AS c ON jsonb_typeof(c.data->'unresolved') = 'object' AND %[3]s IS NOT NULL
CROSS JOIN LATERAL (
	SELECT coalesce(max(position) + 1, 0) AS position FROM messages
	WHERE stream_name = w.failures AND %[3]s > 0 AND position = greatest(%[3]s, 1) - 1 AND global_position < c.global_position
) AS since
CROSS JOIN LATERAL (
	SELECT CASE WHEN count(*) FILTER (WHERE recent) <= %[7]d THEN count(DISTINCT at) FILTER (WHERE last AND type = 'Failed') END AS n FROM (
		SELECT at, type, recent, row_number() OVER (PARTITION BY at ORDER BY position DESC) = 1 AS last FROM (
			SELECT %[4]s AS at, -1::bigint AS position, 'Failed' AS type, false AS recent FROM jsonb_object_keys(c.data->'unresolved') AS key
			UNION ALL (
				SELECT %[5]s, position, type, true FROM messages WHERE stream_name = w.failures AND position >= since.position
				ORDER BY position LIMIT %[7]d + 1
			)
		) AS outcomes
	) AS latest
) AS failed
CROSS JOIN LATERAL (
	SELECT count(*) AS n FROM (
		SELECT DISTINCT ON (at) type FROM (
			SELECT %[5]s AS at, position, type FROM messages WHERE stream_name = w.failures ORDER BY position DESC LIMIT %[1]d
		) AS outcomes WHERE at IS NOT NULL ORDER BY at, position DESC
	) AS latest WHERE type = 'Exhausted'
) AS exhausted`, countLimit, numberIn("last.data->'position'"), numberIn("c.data->'watermark'"), number("key"), numberIn("data->'position'"), catchup.PauseCategory, failuresLimit)

// Collect reads the figures of the store, and those of all subscriptions with one
// query, and which are paused with another, over the connection of health checks.
func (s source) Collect(ctx context.Context) (collector.Figures, error) {
	figures := collector.Figures{EventStores: []collector.EventStore{{Domain: s.domain}}}
	columns := make([][]string, 4)
	for _, w := range s.watched {
		figures.Subscriptions = append(figures.Subscriptions, collector.Subscription{Watch: w})
		key := lockKey{w.Subscriber, w.Stream}
		for i, v := range []string{w.Stream, key.positionStream(), key.failedStream(), key.checkpointStream()} {
			columns[i] = append(columns[i], v)
		}
	}
	var unreadable []error
	err := s.store.db.Inspect(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		head, err := headOf(ctx, conn)
		if err != nil {
			return err
		}
		figures.EventStores[0].Head = collector.Known(float64(head))
		if len(s.watched) == 0 {
			return nil
		}
		rows, err := conn.Query(ctx, figuresQuery, columns[0], columns[1], columns[2], columns[3])
		if err != nil {
			return err
		}
		var i, behind, exhausted int64
		var failed *int64
		var readable, ahead bool
		var age *float64
		_, err = pgx.ForEachRow(rows, []any{&i, &readable, &ahead, &behind, &age, &failed, &exhausted}, func() error {
			f := &figures.Subscriptions[i]
			if failed != nil {
				f.Pending = collector.Known(float64(*failed))
			}
			f.DeadLetters = collector.Known(float64(exhausted))
			figures.Queues = append(figures.Queues, collector.Queue{Domain: s.domain, Stream: columns[2][i], Depth: f.DeadLetters})
			if !readable {
				unreadable = append(unreadable, noPosition(lockKey{f.Subscriber, f.Stream}, nil))
				return nil
			}
			f.Lag, f.LagExact = collector.Known(float64(behind)), collector.Known(1)
			if behind == countLimit {
				f.LagExact = collector.Known(0)
			}
			switch {
			case age != nil:
				f.LagSeconds = collector.Known(*age)
			case behind == 0:
				f.LagSeconds = collector.Known(0)
			}
			f.PositionAhead = collector.Known(0)
			if ahead {
				f.PositionAhead = collector.Known(1)
			}
			if failed != nil && *failed == 0 {
				f.OldestUnfinishedSeconds = f.LagSeconds
			}
			return nil
		})
		if err != nil {
			return err
		}
		states, err := readPauses(ctx, conn)
		for i := range figures.Subscriptions {
			f := &figures.Subscriptions[i]
			p := states[pauseStream(subscription.Identity{Stream: f.Stream, Group: f.Group})]
			f.SetPause(p.Paused, collector.Pause{By: p.By, At: p.At, Reason: p.Reason})
		}
		return err
	})
	if err = errors.Join(append(unreadable, err)...); err != nil {
		return figures, fmt.Errorf("event store: read the positions of subscriptions: %w", explain(err))
	}
	return figures, nil
}

// headOf is the position of the store's last message; 0 where it has none.
func headOf(ctx context.Context, conn *pgx.Conn) (head int64, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(max(global_position), 0) FROM messages").Scan(&head)
	return head, err
}
