package messagedb_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/messagedb"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// proteanStore is a store with all that Protean 0.18 wrote into one.
func proteanStore(t *testing.T) (*messagedb.Store, *testserver.PostgresDatabase) {
	t.Helper()
	db := testserver.MessageDB(t)
	conn := direct(t, db)
	file, err := os.Open("testdata/messagedb-rows.jsonl")
	require.NoError(t, err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct {
			GlobalPosition int64 `json:"global_position"`
			Position       int64
			Time           string
			StreamName     string `json:"stream_name"`
			Type, Data, ID string
			Metadata       *string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		_, err := conn.Exec(t.Context(), `INSERT INTO messages (global_position, position, time, stream_name, type, data, metadata, id)
			VALUES ($1, $2, $3::text::timestamp, $4, $5, $6::text::jsonb, $7::text::jsonb, $8::text::uuid)`,
			r.GlobalPosition, r.Position, r.Time, r.StreamName, r.Type, r.Data, r.Metadata, r.ID)
		require.NoError(t, err)
	}
	require.NoError(t, lines.Err())
	_, err = conn.Exec(t.Context(), "SELECT setval('messages_global_position_seq', (SELECT max(global_position) FROM messages))")
	require.NoError(t, err)
	return open(t, db), db
}

func TestAMigratedSubscriptionGoesOnWherePythonWas(t *testing.T) {
	t.Parallel()
	s, db := proteanStore(t)
	const subscriber, category = "domain.AccountLedger", "golden_shop::account"
	rows := direct(t, db)
	var last int64
	require.NoError(t, rows.QueryRow(t.Context(), `SELECT (data->>'position')::bigint FROM messages WHERE stream_name = $1 ORDER BY position DESC LIMIT 1`,
		"position-"+subscriber+"-"+category).Scan(&last))
	state, err := s.LoadPosition(t.Context(), subscriber, category)
	require.NoError(t, err)
	require.Equal(t, last, state.Position)
	require.Empty(t, state.Failed, "resolved or exhausted all")
	require.True(t, state.Interrupted, "Python does not say that it stopped")

	// Without the last two outcomes, two positions are unresolved, known by the
	// checkpoint.
	_, err = rows.Exec(t.Context(), `DELETE FROM messages WHERE stream_name LIKE 'failed-domain.AccountLedger%' AND position >= 8
		OR stream_name LIKE 'recovery-checkpoint-domain.AccountLedger%' AND position > 0`)
	require.NoError(t, err)
	state, err = s.LoadPosition(t.Context(), subscriber, category)
	require.NoError(t, err)
	require.Len(t, state.Failed, 2)
	require.EqualValues(t, 194, state.Failed[0].Position)
	require.Equal(t, 1, state.Failed[0].Attempts, "Python's first call is its count of 0")
	require.Equal(t, "golden_shop::account-a1", state.Failed[0].Stream)

	got, err := s.ReadCategory(t.Context(), category, 0, 1000)
	require.NoError(t, err)
	require.NotEmpty(t, got)
	for _, r := range got {
		e, err := message.FromDelivery(r.Delivery())
		require.NoError(t, err)
		require.NoError(t, e.Verify())
	}
}

// What Python reads of us: streams, types and fields are its own.
func TestPositionsAreWrittenAsPythonReadsThem(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	ctx := t.Context()
	owner, err := s.Own(ctx, "shop.orders.Report", "shop::order")
	require.NoError(t, err)
	f := catchup.Failed{Position: 6, Attempts: 2, MessageID: "e-6", MessageType: "Shop.Placed.v1", Stream: "shop::order-3", StreamPosition: 4}
	require.NoError(t, owner.Save(ctx, catchup.Change{Position: 7, Failed: []catchup.Failed{f}}))
	require.NoError(t, owner.Save(ctx, catchup.Change{Exhausted: []catchup.Failed{f}}))

	type row struct{ Stream, Type, Data, Kind, Origin string }
	var rows []row
	result, err := direct(t, db).Query(ctx, `SELECT stream_name, type, data::text, metadata->'domain'->>'kind', metadata->'domain'->>'origin_stream'
		FROM messages ORDER BY global_position`)
	require.NoError(t, err)
	for result.Next() {
		var r row
		require.NoError(t, result.Scan(&r.Stream, &r.Type, &r.Data, &r.Kind, &r.Origin))
		rows = append(rows, r)
	}
	require.NoError(t, result.Err())
	const position, failed = "position-shop.orders.Report-shop::order", "failed-shop.orders.Report-shop::order"
	const data = `{"attempts": 2, "position": 6, "message_id": "e-6", "retry_count": 1, "stream_name": "shop::order-3", "message_type": "Shop.Placed.v1", "stream_position": 4}`
	of := func(stream, typ, data string) row { return row{stream, typ, data, "READ_POSITION", "shop::order"} }
	require.Equal(t, []row{
		of(position, "Read", `{"position": 0}`),
		of(failed, "Failed", data),
		of(position, "Read", `{"position": 7}`),
		of(failed, "Exhausted", data),
	}, rows)
}

// A restored store may name a position that it does not have.
func TestAPositionBeyondTheHeadIsAnErrorWithTheWayOut(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	conn := direct(t, db)
	_, err := conn.Exec(t.Context(), `SELECT write_message(gen_random_uuid()::varchar, 'position-h-shop::order', 'Read', '{"position": 9000}')`)
	require.NoError(t, err)
	_, err = s.Own(t.Context(), "h", "shop::order")
	var ahead *catchup.AheadError
	require.ErrorAs(t, err, &ahead)
	require.EqualValues(t, 9000, ahead.Position)
	_, err = conn.Exec(t.Context(), ahead.WayOut[len("write the position up to which all was handled, 0 for none: "):])
	require.NoError(t, err)
	_, err = s.Own(t.Context(), "h", "shop::order")
	require.NoError(t, err)
}

// The network between an owner and the server goes silent: the owner stops before
// the server gives the lock to another.
func TestAnOwnerThatIsCutOffStopsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	proxy := testserver.Proxy(t, db.Addr)
	cut := *db
	cut.URL = strings.Replace(db.URL, db.Addr, proxy.Addr, 1)
	former, next := open(t, &cut), open(t, db)
	owner, err := former.Own(t.Context(), "h", "shop::order")
	require.NoError(t, err)
	proxy.Stall()
	select {
	case <-owner.Ended():
	case <-time.After(5 * time.Second):
		t.Fatal("the former owner goes on")
	}
	require.ErrorIs(t, owner.Save(t.Context(), catchup.Change{Position: 1}), catchup.ErrFenced)
	proxy.Cut()
	require.Eventually(t, func() bool {
		_, err := next.Own(t.Context(), "h", "shop::order")
		return err == nil
	}, 15*time.Second, 50*time.Millisecond)
}
