package messagedb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/collector"
)

// countLimit is where counting the messages behind a position stops: a figure of
// this size says "at least".
const countLimit = 10_001

// sourceName is the source's name in a snapshot.
const sourceName = "event_store"

// source reads the figures of subscriptions for a collector.
type source struct {
	store   *Store
	watched []collector.Watch
}

// Source returns the figures of subscriptions for a collector. It is named
// "event_store".
func (s *Store) Source(watched []collector.Watch) collector.Source { return source{s, watched} }

// Name is the source's name.
func (s source) Name() string { return sourceName }

// figuresQuery has one row for each subscription: its position, how many messages
// of its category are behind it, the age of the oldest of those, and how many
// failed positions are not settled. A subscription to all messages does not count
// what subscriptions themselves write.
var figuresQuery = fmt.Sprintf(`
SELECT w.i - 1, behind.n, greatest(extract(epoch FROM (now() AT TIME ZONE 'utc') - oldest.time), 0)::float8, failed.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w(category, positions, failures, checkpoints, i)
LEFT JOIN LATERAL (
	SELECT (data->>'position')::bigint AS position FROM messages WHERE stream_name = w.positions ORDER BY messages.position DESC LIMIT 1
) AS p ON true
CROSS JOIN LATERAL (
	SELECT count(*) AS n FROM (
		SELECT FROM messages WHERE w.category <> '$all' AND category(stream_name) = w.category AND global_position > coalesce(p.position, 0)
		UNION ALL
		SELECT FROM messages WHERE w.category = '$all' AND global_position > coalesce(p.position, 0)
			AND category(stream_name) NOT IN ('position', 'failed', 'recovery') AND type <> 'SNAPSHOT'
		LIMIT %[1]d
	) AS counted
) AS behind
LEFT JOIN LATERAL (
	SELECT time FROM (
		(SELECT time FROM messages WHERE w.category <> '$all' AND category(stream_name) = w.category AND global_position > coalesce(p.position, 0)
			ORDER BY global_position LIMIT 1)
		UNION ALL
		(SELECT time FROM messages WHERE w.category = '$all' AND global_position > coalesce(p.position, 0)
			AND category(stream_name) NOT IN ('position', 'failed', 'recovery') AND type <> 'SNAPSHOT'
			ORDER BY global_position LIMIT 1)
	) AS first
) AS oldest ON true
LEFT JOIN LATERAL (
	SELECT data FROM messages WHERE stream_name = w.checkpoints ORDER BY position DESC LIMIT 1
) AS c ON true
CROSS JOIN LATERAL (
	SELECT count(*) AS n FROM (
		SELECT DISTINCT ON (at) type FROM (
			SELECT key::bigint AS at, -1::bigint AS position, 'Failed' AS type FROM jsonb_object_keys(c.data->'unresolved') AS key
			UNION ALL
			SELECT (data->>'position')::bigint, position, type FROM messages
			WHERE stream_name = w.failures AND position >= coalesce((c.data->>'watermark')::bigint, 0)
		) AS outcomes ORDER BY at, position DESC
	) AS latest WHERE type = 'Failed'
) AS failed`, countLimit)

// Collect reads the figures of all subscriptions with one query, over the
// connection of health checks.
func (s source) Collect(ctx context.Context) (collector.Figures, error) {
	var figures collector.Figures
	columns := make([][]string, 4)
	for _, w := range s.watched {
		figures.Subscriptions = append(figures.Subscriptions, collector.Subscription{Watch: w})
		key := lockKey{w.Subscriber, w.Stream}
		for i, v := range []string{w.Stream, key.positionStream(), key.failedStream(), key.checkpointStream()} {
			columns[i] = append(columns[i], v)
		}
	}
	if len(s.watched) == 0 {
		return figures, s.store.Ping(ctx)
	}
	err := s.store.db.Inspect(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, figuresQuery, columns[0], columns[1], columns[2], columns[3])
		if err != nil {
			return err
		}
		var i, behind, failed int64
		var age *float64
		_, err = pgx.ForEachRow(rows, []any{&i, &behind, &age, &failed}, func() error {
			f := &figures.Subscriptions[i]
			f.Lag, f.LagExact, f.LagSeconds = collector.Known(float64(behind)), collector.Known(1), collector.Known(0)
			if behind == countLimit {
				f.LagExact = collector.Known(0)
			}
			if age != nil {
				f.LagSeconds = collector.Known(*age)
			}
			f.Pending = collector.Known(float64(failed))
			if failed == 0 {
				f.OldestUnfinishedSeconds = f.LagSeconds
			}
			return nil
		})
		return err
	})
	if err != nil {
		return figures, fmt.Errorf("event store: read the positions of subscriptions: %w", explain(err))
	}
	return figures, nil
}
