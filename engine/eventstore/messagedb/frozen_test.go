package messagedb_test

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/eventstoretest"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A process that is suspended answers no more, though its kernel does: another takes
// over, and the first stands by when it goes on.
func TestAFrozenOwnerIsTakenOverFrom(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	s := open(t, db)
	appendOne := func(id string) {
		t.Helper()
		_, err := s.Append(t.Context(), eventstoretest.Event(t, "shop::order-1", id))
		require.NoError(t, err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), followVariable+"="+db.URL)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	appendOne("e-1")
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "e-1", lines.Text())
	// It lives: nothing is taken from it.
	for range 3 {
		_, err = s.Own(t.Context(), "h", "shop::order")
		require.ErrorIs(t, err, catchup.ErrOwned)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	began := time.Now()
	var owner catchup.Ownership
	require.Eventually(t, func() bool {
		owner, err = s.Own(t.Context(), "h", "shop::order")
		return err == nil
	}, 20*time.Second, 100*time.Millisecond)
	require.Greater(t, time.Since(began), 8*time.Second, "a process that pauses for a moment is not frozen")

	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 2}), "it is still the owner")
	appendOne("e-2") // for the owner, which is not the process
	require.NoError(t, owner.Save(t.Context(), catchup.Change{Position: 2, Stopped: true}))
	require.NoError(t, owner.Release(t.Context()))
	require.True(t, lines.Scan())
	// It has the lock again. Once more it begins at the saved position.
	for lines.Text() != "e-2" {
		require.True(t, lines.Scan())
	}
}

// A right that is missing to write holds every subscription up: a probe must say so.
func TestReadinessNamesTheRightsThatAreMissing(t *testing.T) {
	t.Parallel()
	db := testserver.MessageDB(t)
	conn := direct(t, db)
	for _, sql := range []string{
		"DO $$ BEGIN CREATE ROLE reader_of_messages LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
		"GRANT USAGE ON SCHEMA message_store TO reader_of_messages",
		"GRANT SELECT ON messages TO reader_of_messages",
		"REVOKE EXECUTE ON FUNCTION write_message FROM PUBLIC",
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	of := *db
	of.URL = as(db.URL, "reader_of_messages")
	s := open(t, &of)
	require.NoError(t, s.Ping(t.Context()), "it reads only, as one that observes")
	_, err := s.Own(t.Context(), "h", "shop::order")
	require.Error(t, err)
	err = s.Ping(t.Context())
	require.ErrorContains(t, err, "lacks EXECUTE on write_message, INSERT on messages, USAGE on messages_global_position_seq")
	require.ErrorContains(t, err, "GRANT message_store TO <user>")
}
