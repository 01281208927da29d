package messagedb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// Programs of another kind share the store: what they write is no failure, and
// holds up nothing.
func TestRowsOfOtherClientsArePassed(t *testing.T) {
	t.Parallel()
	for _, category := range []string{"account", catchup.All} {
		t.Run(category, func(t *testing.T) {
			t.Parallel()
			db := testserver.MessageDB(t)
			s, conn := open(t, db), direct(t, db)
			for _, row := range [][2]any{
				{`{"accountId": "123", "amount": 10}`, nil},
				{`{"accountId": "123"}`, `{"replyStreamName": null, "schemaVersion": null, "correlationStreamName": "cart-1", "causationMessageStreamName": "account:command-123", "causationMessagePosition": 0}`},
				{nil, nil},
				{`[]`, `[]`},
			} {
				_, err := conn.Exec(t.Context(), "SELECT write_message(gen_random_uuid()::varchar, 'account-123', 'Withdrawn', $1::text::jsonb, $2::text::jsonb)", row[0], row[1])
				require.NoError(t, err)
			}
			_, err := s.Append(t.Context(), eventstoretest.Event(t, "account-9", "ours"))
			require.NoError(t, err)
			handled := make(chan string, 10)
			stop := run(t, s, category, func(_ context.Context, m *message.Envelope) error {
				handled <- m.Metadata.Headers.ID
				return nil
			})
			select {
			case id := <-handled:
				require.Equal(t, "ours", id)
			case <-time.After(10 * time.Second):
				t.Fatal("nothing is handled")
			}
			stop()
			require.Zero(t, count(t, conn, "type IN ('Failed', 'Exhausted')"))
			state, err := s.LoadPosition(t.Context(), "h", category)
			require.NoError(t, err)
			require.GreaterOrEqual(t, state.Position, int64(5))
		})
	}
}
