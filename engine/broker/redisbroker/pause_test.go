package redisbroker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestAPauseIsAKeyBesideItsStreamThatAnOperatorCanRead(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL), server.Client(t)
	of := subscription.Identity{Stream: "shop::order", Group: "shop.Mailer"}
	at := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	require.NoError(t, b.SetPause(t.Context(), of, subscription.PauseState{Paused: true, By: "ann@ops", At: at, Reason: "moving"}))
	const key = "observatory:{shop::order}:pause:shop.Mailer"
	require.JSONEq(t, `{"state": "paused", "by": "ann@ops", "at": "2026-11-25T22:00:00Z", "reason": "moving"}`, client.Get(t.Context(), key).Val())
	require.Equal(t, time.Duration(-1), client.TTL(t.Context(), key).Val(), "until it is resumed")

	require.NoError(t, b.SetPause(t.Context(), of, subscription.PauseState{By: "ben", At: at}))
	require.Positive(t, client.TTL(t.Context(), key).Val())
	require.LessOrEqual(t, client.TTL(t.Context(), key).Val(), time.Minute, "then nothing is left")
}

// A key that was set by hand pauses.
func TestAKeySetByHandPauses(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b, client := open(t, server.URL), server.Client(t)
	of := subscription.Identity{Stream: "s", Group: "g"}
	for _, text := range []string{"1", "", "{}", strings.Repeat("x", 1000)} {
		require.NoError(t, client.Set(t.Context(), "observatory:{s}:pause:g", text, 0).Err())
		states, err := b.PauseStates(t.Context(), []subscription.Identity{of})
		require.NoError(t, err)
		require.True(t, states[of].Paused)
		require.Contains(t, states[of].Reason, "set by hand")
		require.Less(t, len(states[of].Reason), 200)
	}
}

func TestTheStatesOfManySubscriptionsAreReadWithAFewCommands(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"one server": testserver.StartRedis(t).URL, "a cluster": testserver.StartRedisCluster(t, 2).URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, url)
			var of []subscription.Identity
			for i := range 1200 {
				of = append(of, subscription.Identity{Stream: fmt.Sprintf("stream%d", i%7), Group: fmt.Sprint("group", i)})
			}
			for _, i := range []int{0, 499, 500, 1199} {
				require.NoError(t, b.SetPause(t.Context(), of[i], subscription.PauseState{Paused: true, By: fmt.Sprint(i)}))
			}
			states, err := b.PauseStates(t.Context(), of)
			require.NoError(t, err)
			require.Len(t, states, 1200)
			for i, id := range of {
				paused := i == 0 || i == 499 || i == 500 || i == 1199
				require.Equal(t, paused, states[id].Paused, i)
				require.True(t, !paused || states[id].By == fmt.Sprint(i))
			}
		})
	}
}

func TestPausesThatMustNotBeReadAreNoReasonToWait(t *testing.T) {
	t.Parallel()
	for name, newServer := range map[string]func(*testing.T) *guarded{"one server": newGuarded, "a cluster": newGuardedCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newServer(t)
			b, of := open(t, g.url), subscription.Identity{Stream: "orders-1", Group: "g"}
			require.NoError(t, b.SetPause(t.Context(), of, subscription.PauseState{Paused: true}))
			g.give("resetkeys", "~orders-*")
			_, err := b.PauseStates(t.Context(), []subscription.Identity{of})
			require.ErrorIs(t, err, subscription.ErrNoPauses)
			require.ErrorContains(t, err, "observatory:*")
			err = b.SetPause(t.Context(), of, subscription.PauseState{})
			require.ErrorContains(t, err, "observatory:{orders-1}:pause:g")
			require.ErrorContains(t, err, "SET")
		})
	}
}

func TestACollectorTellsWhatIsPaused(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL)
	join(t, b, "orders", "c")
	at := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	watched := []collector.Watch{{Stream: "orders", Group: "g"}, {Stream: "orders", Group: "none yet"}, {Stream: "orders", Group: "nor this"}}
	paused := func() map[string]*collector.Pause {
		figures, err := b.Source("shop", "default", watched).Collect(t.Context())
		require.NoError(t, err)
		found := map[string]*collector.Pause{}
		for _, s := range figures.Subscriptions {
			require.Equal(t, s.Pause != nil, s.Paused == collector.Known(1))
			require.True(t, s.Paused.Known)
			require.Equal(t, s.Group == "g", s.Pending.Known)
			found[s.Group] = s.Pause
		}
		return found
	}
	require.Equal(t, map[string]*collector.Pause{"g": nil}, paused())
	for _, w := range watched[:2] {
		of := subscription.Identity{Stream: w.Stream, Group: w.Group}
		require.NoError(t, b.SetPause(t.Context(), of, subscription.PauseState{Paused: true, By: "ann", At: at, Reason: "moving"}))
	}
	p := &collector.Pause{By: "ann", At: at, Reason: "moving"}
	require.Equal(t, map[string]*collector.Pause{"g": p, "none yet": p}, paused(), "also before a group is made")
}
