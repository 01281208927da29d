package catchup_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription"
)

// L4: what was read ahead and not called is no failure, and is read again by the
// next run as if it had not been read.
func TestAStopLeavesWhatWasNotCalledUntouched(t *testing.T) {
	s := storeWith(t)
	appendEvents(t, s, 9)
	src := open(s)
	tasks, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, tasks, 10)
	src.Done(tasks[:3])
	tasks[3].Attempts = 1 // failed once
	require.NoError(t, src.Close(t.Context()))
	state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 4, state.Position)
	require.Len(t, state.Failed, 1)
	require.EqualValues(t, 4, state.Failed[0].Position)
	require.Equal(t, 1, state.Failed[0].Attempts)
	require.False(t, state.Interrupted)

	// Behind one that was not called another was handled: it is not handled twice.
	src = open(s)
	failed, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, failed, 1)
	tasks, err = src.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, tasks, 6)
	src.Done(tasks[1:2])
	require.NoError(t, src.Close(t.Context()))
	state, err = s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 6, state.Position)
	require.Len(t, state.Failed, 2)
	require.Equal(t, 1, state.Failed[0].Attempts)
	require.EqualValues(t, 5, state.Failed[1].Position)
	require.Zero(t, state.Failed[1].Attempts)
}

// What is written after a takeover cannot be what ended the owner before it.
func TestOnlyWhatTheFormerOwnerMayHaveHadIsTakenByItself(t *testing.T) {
	s := storeWith(t)
	first := open(s)
	_, err := first.Next(t.Context(), 10)
	require.NoError(t, err)
	s.Expire(cfg.Handler, cfg.Stream)
	appendEvents(t, s, 1)
	second := open(s)
	next := func() []*subscription.Task {
		t.Helper()
		tasks, err := second.Next(t.Context(), 10)
		require.NoError(t, err)
		return tasks
	}
	tasks := next()
	require.Len(t, tasks, 1)
	require.True(t, tasks[0].Apart)
	appendEvents(t, s, 5) // with the one before the takeover six are left
	tasks = next()
	require.Len(t, tasks, 1)
	require.True(t, tasks[0].Apart, "written before the takeover")
	tasks = next()
	require.Len(t, tasks, 5)
	require.False(t, tasks[0].Apart)
}
