package redisbroker_test

import (
	"net"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// The caller halves its page after a time-out, so it must know one.
func TestAReplyThatDoesNotCompleteInTimeIsATimeout(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	b := open(t, server.URL, shortTimeout)
	s := join(t, b, testserver.Name(t), "c")
	server.Pause()
	defer server.Resume()
	for name, operation := range map[string]func() error{
		"read":           func() error { _, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1}); return err },
		"read, waiting":  func() error { _, _, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: maxWait}); return err },
		"pending":        func() error { _, _, err := s.Pending(t.Context(), consumergroup.List{Max: 1}); return err },
		"claim released": func() error { _, _, err := s.ClaimReleased(t.Context(), 1); return err },
	} {
		err := operation()
		var timeout net.Error
		require.ErrorAs(t, err, &timeout, name)
		require.True(t, timeout.Timeout(), name)
	}
}

func TestAPageFetchesNoMoreBodiesThanItHas(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	stream := testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 20)
	read(t, s, 20)
	fetched := func() string {
		calls := regexp.MustCompile(`cmdstat_xrange:calls=(\d+)`).FindStringSubmatch(client.Info(t.Context(), "commandstats").Val())
		require.NoError(t, client.ConfigResetStat(t.Context()).Err())
		require.NotNil(t, calls)
		return calls[1]
	}

	got, next, err := s.Pending(t.Context(), consumergroup.List{Max: 3})
	require.NoError(t, err)
	require.Equal(t, ids[:3], idsOf(got))
	require.Equal(t, ids[2], next)
	require.Equal(t, "3", fetched())

	_, err = s.Release(t.Context(), entries(1, ids...))
	require.NoError(t, err)
	got, more, err := s.ClaimReleased(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, ids[:4], idsOf(got))
	require.True(t, more)
	require.Equal(t, "4", fetched())
}

func TestWhatWasClaimedBeforeItsBodiesWereLostIsPending(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	proxy := testserver.Proxy(t, server.Addr)
	b := open(t, server.Via(proxy.Addr))
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 5)
	read(t, s, 5)
	_, err := s.Release(t.Context(), entries(3, ids...))
	require.NoError(t, err)

	dropped := proxy.DropReply("XRANGE")
	_, _, err = s.ClaimReleased(t.Context(), 2)
	<-dropped
	require.Error(t, err)
	require.Equal(t, ids[:2], idsOf(pending(t, s)))
	got, more, err := s.ClaimReleased(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, ids[2:], idsOf(got))
	require.False(t, more)
}
