package messagedb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/observatory-go/observatory/engine/eventstore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// What Protean keeps of a subscription: three streams, named after the handler and
// the category, and the types of their rows. Rows have the fields that Protean
// gives them; `attempts` and `stopped` are ours, and ignored by it.
const (
	typeRead       = "Read"
	typeFailed     = "Failed"
	typeResolved   = "Resolved"
	typeExhausted  = "Exhausted"
	typeCheckpoint = "Checkpoint"

	// failedPage is how many rows of failed positions one query reads.
	failedPage = 1000
)

func (k lockKey) positionStream() string { return "position-" + k.subscription + "-" + k.category }
func (k lockKey) failedStream() string   { return "failed-" + k.subscription + "-" + k.category }
func (k lockKey) checkpointStream() string {
	return "recovery-checkpoint-" + k.subscription + "-" + k.category
}

// positionRow is the payload of a Read row.
type positionRow struct {
	// Position is nil of a row that has none.
	Position *int64 `json:"position"`
	// Stopped says that the owner held nothing any more when it wrote the row.
	Stopped bool `json:"stopped,omitempty"`
}

// failedRow is the payload of a Failed, Resolved or Exhausted row.
type failedRow struct {
	Position       *int64 `json:"position"`
	MessageType    string `json:"message_type"`
	MessageID      string `json:"message_id"`
	RetryCount     int    `json:"retry_count"`
	StreamName     string `json:"stream_name"`
	StreamPosition int64  `json:"stream_position"`
	// Attempts counts all calls. Protean counts those after the first, and writes no
	// row before it.
	Attempts *int `json:"attempts,omitempty"`
}

func rowOf(f catchup.Failed) failedRow {
	return failedRow{
		Position: &f.Position, MessageType: f.MessageType, MessageID: f.MessageID, RetryCount: max(f.Attempts-1, 0),
		StreamName: f.Stream, StreamPosition: f.StreamPosition, Attempts: &f.Attempts,
	}
}

func (r failedRow) failed() catchup.Failed {
	f := catchup.Failed{
		Position: *r.Position, Attempts: r.RetryCount + 1, MessageID: r.MessageID, MessageType: r.MessageType,
		Stream: r.StreamName, StreamPosition: r.StreamPosition,
	}
	if r.Attempts != nil {
		f.Attempts = *r.Attempts
	}
	return f
}

// checkpoint is the payload of a Checkpoint row: what is unresolved, as of a
// position in the stream of failed positions.
type checkpoint struct {
	Watermark  int64                `json:"watermark"`
	Unresolved map[string]failedRow `json:"unresolved"`
}

// ownership implements [catchup.Ownership].
type ownership struct {
	store *Store
	key   lockKey
	lock  *lock
	state catchup.State
	// version is where the last row of the position's stream stands: any other
	// writer moves it.
	version  int64
	position int64 // what that row says
	// uncertain is the id of a row that may have been written; "" for none.
	uncertain string
}

// Own implements [catchup.Positions]. The lock of a session makes the caller the
// owner, and a row in the position's stream ends the writes of one before it.
func (s *Store) Own(ctx context.Context, subscription, category string) (catchup.Ownership, error) {
	key := lockKey{subscription, category}
	s.writes.Store(true)
	taken, err := s.locks.take(ctx, key)
	if err != nil {
		return nil, err
	}
	s.gaps.forget()
	o := &ownership{store: s, key: key, lock: taken}
	if err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return o.begin(ctx, conn) }); err != nil {
		return nil, errors.Join(err, s.locks.release(ctx, taken))
	}
	return o, nil
}

// begin reads how far the subscription is, and writes that it has this owner.
func (o *ownership) begin(ctx context.Context, conn *pgx.Conn) (err error) {
	var watermark int64
	if o.state, o.version, watermark, err = o.store.load(ctx, conn, o.key); err != nil {
		return err
	}
	if o.state.Head, err = headOf(ctx, conn); err != nil {
		return err
	}
	o.position = o.state.Position
	batch := &pgx.Batch{}
	o.queuePosition(batch, positionRow{Position: &o.position})
	if watermark > 0 {
		c := checkpoint{Watermark: watermark, Unresolved: map[string]failedRow{}}
		for _, f := range o.state.Failed {
			c.Unresolved[strconv.FormatInt(f.Position, 10)] = rowOf(f)
		}
		o.queue(batch, newID(), o.key.checkpointStream(), typeCheckpoint, c, nil)
	}
	if err := conflict(conn.SendBatch(ctx, batch).Close()); err != nil {
		if isConflict(err) {
			return catchup.ErrOwned // by a program that takes no lock
		}
		return err
	}
	o.version++
	o.state.Fence = o.version + 1 // the row just written is no other owner's
	return nil
}

// LoadPosition implements [catchup.Positions].
func (s *Store) LoadPosition(ctx context.Context, subscription, category string) (state catchup.State, err error) {
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		state, _, _, err = s.load(ctx, conn, lockKey{subscription, category})
		return err
	})
	return state, err
}

// load reads how far a subscription is; the version of its position's stream; and
// where the stream of failed positions ends, 0 where its checkpoint has all of it.
func (s *Store) load(ctx context.Context, conn *pgx.Conn, key lockKey) (state catchup.State, version, watermark int64, err error) {
	version = eventstore.NoStream
	last, err := read(ctx, conn, 1, "SELECT * FROM get_last_stream_message($1)", key.positionStream())
	if err != nil {
		return state, 0, 0, err
	}
	if len(last) > 0 {
		var row positionRow
		if err := json.Unmarshal(last[0].Data, &row); err != nil || row.Position == nil {
			return state, 0, 0, noPosition(key, err)
		}
		// Protean's -1 is before the first.
		version, state.Position, state.Interrupted = last[0].Position, max(*row.Position, 0), !row.Stopped
		if head := last[0].GlobalPosition; state.Position >= head {
			return state, 0, 0, ahead(key, state.Position, head)
		}
	}
	state.Failed, watermark, err = s.loadFailed(ctx, conn, key)
	return state, version, watermark, err
}

// noPosition says that the row which names the position has none: beginning anew
// would handle everything again.
func noPosition(key lockKey, cause error) error {
	why := ""
	if cause != nil {
		why = ": " + cause.Error()
	}
	return fmt.Errorf("the last row of stream %s has no position, a whole number%s; %s", key.positionStream(), why, setPosition(key))
}

// setPosition is the statement that sets a position.
func setPosition(key lockKey) string {
	return fmt.Sprintf("write the position up to which all was handled, 0 for none: "+
		"SELECT message_store.write_message(gen_random_uuid()::varchar, '%s', 'Read', '{\"position\": 0}')", strings.ReplaceAll(key.positionStream(), "'", "''"))
}

// ahead says that a position cannot be: the row that names it stands before it.
func ahead(key lockKey, position, head int64) error {
	return &catchup.AheadError{Position: position, Head: head, WayOut: setPosition(key)}
}

// loadFailed reads the positions that are not settled, from the last checkpoint on;
// where that cannot be read, from the beginning. A row that cannot be read is left
// out, and logged: one must not end the subscription.
func (s *Store) loadFailed(ctx context.Context, conn *pgx.Conn, key lockKey) (failed []catchup.Failed, watermark int64, err error) {
	last, err := read(ctx, conn, 1, "SELECT * FROM get_last_stream_message($1)", key.checkpointStream())
	if err != nil {
		return nil, 0, err
	}
	unresolved, from := map[int64]catchup.Failed{}, int64(0)
	if len(last) > 0 {
		if unresolved, from, err = readCheckpoint(last[0].Data); err != nil {
			s.log.WarnContext(ctx, "checkpoint of failed messages cannot be read; reading all of their rows",
				"stream", key.checkpointStream(), "position", last[0].Position, "error", err)
		}
	}
	for {
		page, err := read(ctx, conn, failedPage, "SELECT * FROM get_stream_messages($1, $2, $3)", key.failedStream(), from, failedPage)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range page {
			var row failedRow
			from = r.Position + 1
			watermark = from
			if err := json.Unmarshal(r.Data, &row); err != nil || row.Position == nil {
				s.log.WarnContext(ctx, "row of a failed message cannot be read, and is left out: what it names is not tried again, or once more",
					"stream", key.failedStream(), "position", r.Position, "type", r.Type, "error", err)
				continue
			}
			if r.Type == typeFailed {
				unresolved[*row.Position] = row.failed()
			} else {
				delete(unresolved, *row.Position)
			}
		}
		if len(page) < failedPage {
			break
		}
	}
	return slices.SortedFunc(maps.Values(unresolved), func(a, b catchup.Failed) int { return cmp.Compare(a.Position, b.Position) }), watermark, nil
}

// readCheckpoint returns what is unresolved as of a position in the stream of failed
// ones; nothing, as of its beginning, where it cannot be read.
func readCheckpoint(data []byte) (unresolved map[int64]catchup.Failed, from int64, err error) {
	var c checkpoint
	if err = json.Unmarshal(data, &c); err == nil && c.Unresolved == nil {
		err = errors.New("it has no unresolved positions")
	}
	unresolved = map[int64]catchup.Failed{}
	for position, row := range c.Unresolved {
		n, parsed := strconv.ParseInt(position, 10, 64)
		err = cmp.Or(err, parsed)
		row.Position = &n
		unresolved[n] = row.failed()
	}
	if err != nil {
		return map[int64]catchup.Failed{}, 0, err
	}
	return unresolved, c.Watermark, nil
}

// State implements [catchup.Ownership].
func (o *ownership) State() catchup.State { return o.state }

// Ended implements [catchup.Ownership].
func (o *ownership) Ended() <-chan struct{} { return o.lock.ended }

// Release implements [catchup.Ownership].
func (o *ownership) Release(ctx context.Context) error { return o.store.locks.release(ctx, o.lock) }

// Save implements [catchup.Ownership]: failed positions first, then the position,
// in one transaction. The order is that of the locks that Message-DB takes on
// their categories, which all subscriptions share.
func (o *ownership) Save(ctx context.Context, c catchup.Change) error {
	select {
	case <-o.lock.ended:
		return catchup.ErrFenced
	default:
	}
	return o.store.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := o.resolve(ctx, conn); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for _, rows := range []struct {
			typ       string
			positions []catchup.Failed
		}{{typeFailed, c.Failed}, {typeResolved, c.Resolved}, {typeExhausted, c.Exhausted}} {
			for _, f := range rows.positions {
				o.queue(batch, newID(), o.key.failedStream(), rows.typ, rowOf(f), nil)
			}
		}
		position := max(c.Position, o.position)
		id := o.queuePosition(batch, positionRow{Position: &position, Stopped: c.Stopped})
		err := conflict(conn.SendBatch(ctx, batch).Close())
		switch {
		case err == nil:
			o.version++
			o.position = position
			return nil
		case isConflict(err):
			return errors.Join(catchup.ErrFenced, o.Release(ctx))
		case codeOf(err) == "": // the answer is lost, and the rows may be there
			o.uncertain = id
		}
		return err
	})
}

func isConflict(err error) bool {
	_, is := errors.AsType[*eventstore.ExpectedVersionError](err)
	return is
}

// resolve finds out whether rows were written whose answer was lost.
func (o *ownership) resolve(ctx context.Context, conn *pgx.Conn) error {
	if o.uncertain == "" {
		return nil
	}
	last, err := read(ctx, conn, 1, "SELECT * FROM get_last_stream_message($1)", o.key.positionStream())
	if err != nil {
		return err
	}
	if len(last) > 0 && last[0].ID == o.uncertain {
		o.version = last[0].Position
	}
	o.uncertain = ""
	return nil
}

// queuePosition adds a Read row, and returns its id. It fails where another writer
// has added one.
func (o *ownership) queuePosition(batch *pgx.Batch, row positionRow) (id string) {
	id = newID()
	o.queue(batch, id, o.key.positionStream(), typeRead, row, &o.version)
	return id
}

func (o *ownership) queue(batch *pgx.Batch, id, stream, typ string, row any, expected *int64) {
	data, _ := json.Marshal(row) // of numbers and texts
	metadata, _ := json.Marshal(map[string]any{
		"headers": map[string]any{"id": newID(), "type": typ, "time": message.FormatTime(time.Now()), "stream": stream},
		"domain":  map[string]any{"kind": "READ_POSITION", "origin_stream": o.key.category},
	})
	batch.Queue(writeMessage, id, stream, typ, string(data), string(metadata), expected)
}
