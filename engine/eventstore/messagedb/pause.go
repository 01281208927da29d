package messagedb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// What is kept of pauses: a stream of our own for each subscription that was ever
// paused, whose last row is what holds. It cannot be the position's stream, whose last
// row Protean takes for a position. Rows are not asynchronous, so that Protean passes
// them where it reads all messages.
const (
	typePaused  = "Paused"
	typeResumed = "Resumed"
)

func pauseStream(of subscription.Identity) string {
	return catchup.PauseCategory + "-" + of.Group + "-" + of.Stream
}

// pauseRow is the payload of a Paused or Resumed row.
type pauseRow struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// PauseStates implements [subscription.Pauses] with one query, which reads the last
// row of each stream of pauses.
func (s *Store) PauseStates(ctx context.Context, of []subscription.Identity) (map[subscription.Identity]subscription.PauseState, error) {
	if len(of) == 0 {
		return nil, ctx.Err()
	}
	states := make(map[subscription.Identity]subscription.PauseState, len(of))
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		byStream, err := readPauses(ctx, conn)
		for _, id := range of {
			states[id] = byStream[pauseStream(id)]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("event store: read which subscriptions are paused: %w", err)
	}
	return states, nil
}

// readPauses reads what holds, by the streams' names.
func readPauses(ctx context.Context, conn *pgx.Conn) (map[string]subscription.PauseState, error) {
	rows, err := conn.Query(ctx,
		"SELECT DISTINCT ON (stream_name) stream_name, type, data FROM messages WHERE category(stream_name) = $1 ORDER BY stream_name, position DESC",
		catchup.PauseCategory)
	if err != nil {
		return nil, err
	}
	states := make(map[string]subscription.PauseState)
	var stream, typ string
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&stream, &typ, &data}, func() error {
		var row pauseRow
		_ = json.Unmarshal(data, &row) // a row by hand may say less
		states[stream] = subscription.PauseState{Paused: strings.EqualFold(typ, typePaused), By: row.By, At: row.At, Reason: row.Reason}
		return nil
	})
	return states, err
}

// SetPause keeps what an operator says of a subscription, for all processes: a row
// that stays.
func (s *Store) SetPause(ctx context.Context, of subscription.Identity, state subscription.PauseState) error {
	typ := typeResumed
	if state.Paused {
		typ = typePaused
	}
	data, err := json.Marshal(pauseRow{By: state.By, At: state.At, Reason: state.Reason})
	if err != nil {
		return err
	}
	stream := pauseStream(of)
	metadata, _ := json.Marshal(map[string]any{ // of texts
		"headers": map[string]any{"id": newID(), "type": typ, "time": message.FormatTime(time.Now()), "stream": stream},
		"domain":  map[string]any{"kind": "PAUSE", "origin_stream": of.Stream, "asynchronous": false},
	})
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, writeMessage, newID(), stream, typ, string(data), string(metadata), nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("event store: pause or resume %s: %w", of.Group, err)
	}
	return nil
}
