package redisbroker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// A rollout may hold up no message for two seconds. What is released is looked for
// once a second; a read that began just before and waits a second would double that.
func TestAReadThatWaitsMakesReleasedEntriesWaitNoLonger(t *testing.T) {
	t.Parallel()
	b := open(t, testserver.Redis(t).URL)
	stream := testserver.Name(t)
	stopping, other := join(t, b, stream, "stopping"), join(t, b, stream, "other")
	publish(t, b, stream, 1)
	got, _, err := stopping.Read(t.Context(), consumergroup.Read{Max: 1})
	require.NoError(t, err)
	require.Len(t, got, 1)

	began := time.Now()
	for other.HasReleased() { // the first call begins the checks, one a second
		require.Less(t, time.Since(began), time.Minute)
		time.Sleep(time.Millisecond)
	}
	time.Sleep(900 * time.Millisecond) // the reads begin a tenth of a second before a check
	const after = 250 * time.Millisecond
	released := time.Now().Add(after)
	time.AfterFunc(after, func() { // that check is over
		_, err := stopping.Release(t.Context(), []consumergroup.Entry{{ID: got[0].ID, Attempts: 1}})
		assert.NoError(t, err)
	})
	for !other.HasReleased() {
		_, _, err := other.Read(t.Context(), consumergroup.Read{Max: 1, Block: time.Second})
		require.NoError(t, err)
	}
	assert.Less(t, time.Since(released), 1500*time.Millisecond)
}
