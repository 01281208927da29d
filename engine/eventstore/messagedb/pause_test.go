package messagedb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestARowByHandPausesInEitherCaseOfItsType(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	of := subscription.Identity{Stream: "shop::order", Group: "Mailer"}
	require.NoError(t, s.SetPause(t.Context(), of, subscription.PauseState{}))
	_, err := direct(t, db).Exec(t.Context(), "SELECT write_message(gen_random_uuid()::varchar, 'observatory:pause-Mailer-shop::order', 'paused', '{}', NULL)")
	require.NoError(t, err)
	states, err := s.PauseStates(t.Context(), []subscription.Identity{of})
	require.NoError(t, err)
	require.True(t, states[of].Paused)
}
