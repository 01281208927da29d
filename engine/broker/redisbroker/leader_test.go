package redisbroker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

// A leader that was set by hand, without an end, would keep all processes from
// maintaining the queue.
func TestALeaderThatHasNoEndGetsThatOfALease(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL), server.Client(t)
	require.NoError(t, client.Set(t.Context(), "observatory:{s}:dlq-leader", "x", 0).Err())
	leads, err := b.Lead(t.Context(), "s", "a", 50*time.Millisecond)
	require.NoError(t, err)
	require.False(t, leads)
	require.Eventually(t, func() bool {
		leads, err := b.Lead(t.Context(), "s", "a", time.Minute)
		return err == nil && leads
	}, 10*time.Second, time.Millisecond)
}
