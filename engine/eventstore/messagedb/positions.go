package messagedb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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

	// writeFenced writes where a stream has a version, and nothing else.
	writeFenced = writeMessage + " WHERE coalesce(stream_version($7), -1) = $8"

	// mostAttempts bounds what a row may say.
	mostAttempts = math.MaxInt32

	// failedPage is how many rows of failed positions one query reads, and
	// checkpointEvery after how many a checkpoint is written while they are read: a
	// process that ends meanwhile has not read them in vain.
	failedPage      = 1000
	checkpointEvery = 25_000
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
		Position: *r.Position, Attempts: min(max(r.RetryCount, -1), mostAttempts-1) + 1, MessageID: r.MessageID, MessageType: r.MessageType,
		Stream: r.StreamName, StreamPosition: r.StreamPosition,
	}
	if r.Attempts != nil {
		f.Attempts = min(max(*r.Attempts, 0), mostAttempts)
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
	if err := o.begin(ctx); err != nil {
		return nil, errors.Join(err, s.locks.release(ctx, taken))
	}
	return o, nil
}

// begin reads how far the subscription is, and writes that it has this owner.
func (o *ownership) begin(ctx context.Context) (err error) {
	var failures failures
	o.state, o.version, failures, err = o.store.load(ctx, o.key, o.keep)
	if err != nil {
		return err
	}
	o.position = o.state.Position
	return o.store.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if o.state.Head, err = headOf(ctx, conn); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		o.queuePosition(batch, positionRow{Position: &o.position})
		if failures.read > failures.kept {
			o.queueCheckpoint(batch, failures)
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
	})
}

// keep writes a checkpoint of the failed positions that were read so far, where those
// are many since the last one.
func (o *ownership) keep(ctx context.Context, f *failures) error {
	select {
	case <-o.lock.ended:
		return catchup.ErrOwned // by another, or by none
	default:
	}
	if f.read-f.kept < checkpointEvery {
		return nil
	}
	batch := &pgx.Batch{}
	o.queueCheckpoint(batch, *f)
	f.kept = f.read
	return o.store.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.SendBatch(ctx, batch).Close() })
}

func (o *ownership) queueCheckpoint(batch *pgx.Batch, f failures) {
	c := checkpoint{Watermark: f.read, Unresolved: make(map[string]failedRow, len(f.unresolved))}
	for position, failed := range f.unresolved {
		c.Unresolved[strconv.FormatInt(position, 10)] = rowOf(failed)
	}
	o.queue(batch, writeMessage, newID(), o.key.checkpointStream(), typeCheckpoint, c, nil)
}

// LoadPosition implements [catchup.Positions].
func (s *Store) LoadPosition(ctx context.Context, subscription, category string) (catchup.State, error) {
	state, _, _, err := s.load(ctx, lockKey{subscription, category}, func(context.Context, *failures) error { return nil })
	return state, err
}

// load reads how far a subscription is, the version of its position's stream, and its
// failed positions, of which keep is told on the way.
func (s *Store) load(ctx context.Context, key lockKey, keep func(context.Context, *failures) error) (state catchup.State, version int64, f failures, err error) {
	version = eventstore.NoStream
	last, found, err := s.LastMessage(ctx, key.positionStream())
	if err != nil {
		return state, 0, f, err
	}
	if found {
		var row positionRow
		if err := json.Unmarshal(last.Data, &row); err != nil || row.Position == nil {
			return state, 0, f, noPosition(key, err)
		}
		// Protean's -1 is before the first.
		version, state.Position, state.Interrupted = last.Position, max(*row.Position, 0), !row.Stopped
		if head := last.GlobalPosition; state.Position >= head {
			return state, 0, f, ahead(key, state.Position, head)
		}
	}
	f, err = s.loadFailed(ctx, key, keep)
	state.Failed = slices.SortedFunc(maps.Values(f.unresolved), func(a, b catchup.Failed) int { return cmp.Compare(a.Position, b.Position) })
	return state, version, f, err
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

// setPosition is the statement that sets a position, for any user that has the role:
// functions of Message-DB call each other by their plain names.
func setPosition(key lockKey) string {
	return fmt.Sprintf("write the position up to which all was handled, 0 for none: "+
		"SELECT set_config('search_path', 'message_store, public', true), message_store.write_message(gen_random_uuid()::varchar, '%s', 'Read', '{\"position\": 0}')", strings.ReplaceAll(key.positionStream(), "'", "''"))
}

// ahead says that a position cannot be: the row that names it stands before it.
func ahead(key lockKey, position, head int64) error {
	return &catchup.AheadError{Position: position, Head: head, WayOut: setPosition(key)}
}

// failures are the positions that are not settled, as of a position in their stream.
type failures struct {
	unresolved map[int64]catchup.Failed
	read       int64 // where the stream is read on
	kept       int64 // where the last checkpoint has it read on
}

// loadFailed reads the positions that are not settled, from the last checkpoint on,
// page by page: their stream may have grown by any number of rows since. A row that
// cannot be read is left out, and logged: one must not end the subscription.
func (s *Store) loadFailed(ctx context.Context, key lockKey, keep func(context.Context, *failures) error) (f failures, err error) {
	if f, err = s.loadCheckpoint(ctx, key); err != nil {
		return f, err
	}
	for {
		page, err := s.ReadStream(ctx, key.failedStream(), f.read, failedPage)
		if err != nil {
			return f, err
		}
		for _, r := range page {
			var row failedRow
			f.read = r.Position + 1
			if err := json.Unmarshal(r.Data, &row); err != nil || row.Position == nil {
				s.log.WarnContext(ctx, "row of a failed message cannot be read, and is left out: what it names is not tried again, or once more",
					"stream", key.failedStream(), "position", r.Position, "type", r.Type, "error", err)
				continue
			}
			if r.Type == typeFailed {
				f.unresolved[*row.Position] = row.failed()
			} else {
				delete(f.unresolved, *row.Position)
			}
		}
		if len(page) < failedPage {
			return f, nil
		}
		if err := keep(ctx, &f); err != nil {
			return f, err
		}
	}
}

// loadCheckpoint reads what was unresolved as of the last checkpoint. Where that
// cannot be read, and where it is of another stream than there is now, that one is to
// be read from its beginning.
func (s *Store) loadCheckpoint(ctx context.Context, key lockKey) (f failures, err error) {
	f.unresolved = map[int64]catchup.Failed{}
	last, found, err := s.LastMessage(ctx, key.checkpointStream())
	if err != nil || !found {
		return f, err
	}
	unresolved, watermark, err := readCheckpoint(last.Data)
	if err != nil {
		s.log.WarnContext(ctx, "checkpoint of failed messages cannot be read; reading all of their rows",
			"stream", key.checkpointStream(), "position", last.Position, "error", err)
		return f, nil
	}
	f.unresolved = unresolved
	if watermark <= 0 {
		return f, nil
	}
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		const sql = "SELECT EXISTS (SELECT FROM messages WHERE stream_name = $1 AND position = $2::bigint - 1 AND global_position < $3)"
		var holds bool
		if err := conn.QueryRow(ctx, sql, key.failedStream(), watermark, last.GlobalPosition).Scan(&holds); err != nil {
			return err
		}
		if holds {
			f.read, f.kept = watermark, watermark
		} else {
			s.log.WarnContext(ctx, "stream of failed messages is not the one of its checkpoint: it was emptied, or begun anew; reading it from its beginning",
				"stream", key.failedStream(), "watermark", watermark)
		}
		return nil
	})
	return f, err
}

// readCheckpoint returns what is unresolved as of a position in the stream of failed
// ones.
func readCheckpoint(data []byte) (unresolved map[int64]catchup.Failed, watermark int64, err error) {
	var c checkpoint
	if err = json.Unmarshal(data, &c); err == nil && c.Unresolved == nil {
		err = errors.New("it has no unresolved positions")
	}
	unresolved = make(map[int64]catchup.Failed, len(c.Unresolved))
	for position, row := range c.Unresolved {
		n, parsed := strconv.ParseInt(position, 10, 64)
		err = cmp.Or(err, parsed)
		row.Position = &n
		unresolved[n] = row.failed()
	}
	return unresolved, c.Watermark, err
}

// State implements [catchup.Ownership].
func (o *ownership) State() catchup.State { return o.state }

// Ended implements [catchup.Ownership].
func (o *ownership) Ended() <-chan struct{} { return o.lock.ended }

// Release implements [catchup.Ownership].
func (o *ownership) Release(ctx context.Context) error { return o.store.locks.release(ctx, o.lock) }

// Save implements [catchup.Ownership]: failed positions first, then the position,
// in one transaction. The order is that of the locks that Message-DB takes on
// their categories, which all subscriptions share. A position that is what the store
// has is not written again: who follows all messages reads each row.
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
		position := max(c.Position, o.position)
		moves := position > o.position || c.Stopped
		write, fence, version := writeMessage, []any(nil), o.version
		if !moves {
			write, fence = writeFenced, []any{o.key.positionStream(), o.version}
			o.queueVersion(batch, &version)
		}
		for _, rows := range []struct {
			typ       string
			positions []catchup.Failed
		}{{typeFailed, c.Failed}, {typeResolved, c.Resolved}, {typeExhausted, c.Exhausted}} {
			for _, f := range rows.positions {
				o.queue(batch, write, newID(), o.key.failedStream(), rows.typ, rowOf(f), nil, fence...)
			}
		}
		var id string
		if moves {
			id = o.queuePosition(batch, positionRow{Position: &position, Stopped: c.Stopped})
		}
		err := conflict(conn.SendBatch(ctx, batch).Close())
		if err == nil && version != o.version {
			err = &eventstore.ExpectedVersionError{Stream: o.key.positionStream(), Expected: o.version, Actual: version}
		}
		switch {
		case err == nil:
			if moves {
				o.version++
			}
			o.position = position
			return nil
		case isConflict(err):
			return errors.Join(o.fenced(err), o.Release(ctx))
		case codeOf(err) == "": // the answer is lost, and the rows may be there
			o.uncertain = id
		}
		return err
	})
}

// fenced is what ends an ownership whose position's stream has another version.
func (o *ownership) fenced(conflict error) error {
	if e, _ := errors.AsType[*eventstore.ExpectedVersionError](conflict); e.Actual < e.Expected {
		return errors.Join(catchup.ErrPositionLost, catchup.ErrFenced)
	}
	return catchup.ErrFenced
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
	o.queue(batch, writeMessage, id, o.key.positionStream(), typeRead, row, &o.version)
	return id
}

// queueVersion asks for the version of the position's stream, as it stays until the
// end of the transaction: the locks are those that a change of the position takes, in
// its order.
func (o *ownership) queueVersion(batch *pgx.Batch, version *int64) {
	batch.Queue("SELECT acquire_lock($1)", o.key.failedStream())
	batch.Queue("SELECT acquire_lock($1)", o.key.positionStream())
	batch.Queue("SELECT coalesce(stream_version($1), -1)", o.key.positionStream()).QueryRow(func(row pgx.Row) error { return row.Scan(version) })
}

func (o *ownership) queue(batch *pgx.Batch, write, id, stream, typ string, row any, expected *int64, fence ...any) {
	data, _ := json.Marshal(row) // of numbers and texts
	metadata, _ := json.Marshal(map[string]any{
		"headers": map[string]any{"id": newID(), "type": typ, "time": message.FormatTime(time.Now()), "stream": stream},
		"domain":  map[string]any{"kind": "READ_POSITION", "origin_stream": o.key.category},
	})
	batch.Queue(write, append([]any{id, stream, typ, string(data), string(metadata), expected}, fence...)...)
}
