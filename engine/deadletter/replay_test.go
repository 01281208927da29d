package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

const stream = "shop::order"

// shop is a broker whose groups g and h gave up all of n messages, g in their order
// reversed.
type shop struct {
	*memorybroker.Broker
	ids   []string
	calls int
}

func newShop(t *testing.T, n int) *shop {
	t.Helper()
	s := &shop{Broker: memorybroker.New()}
	for i := range n {
		id, err := s.Publish(t.Context(), stream, message.Field{Name: "data", Value: fmt.Appendf(nil, `{"data": {"n": %d}, "metadata": {"headers": {"id": "m%d", "type": "Shop.A"}}}`, i, i)})
		require.NoError(t, err)
		s.ids = append(s.ids, id)
	}
	for _, group := range []string{"g", "h"} {
		m, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: group, Consumer: "c"})
		require.NoError(t, err)
		got, _, err := m.Read(t.Context(), consumergroup.Read{Max: n})
		require.NoError(t, err)
		var entries []deadletter.Entry
		for i := range got {
			d := got[len(got)-1-i]
			entries = append(entries, deadletter.Compose(d, deadletter.Metadata{ConsumerGroup: group, Reason: deadletter.Exhausted}))
		}
		_, err = m.DeadLetter(t.Context(), entries)
		require.NoError(t, err)
	}
	return s
}

// released are what a new engine of a group takes over, in its order.
func (s *shop) released(t *testing.T, group string) (ids []string) {
	t.Helper()
	m, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: group, Consumer: "new"})
	require.NoError(t, err)
	got, _, err := m.ClaimReleased(t.Context(), 1000)
	require.NoError(t, err)
	for _, d := range got {
		require.Zero(t, d.Attempts)
		ids = append(ids, d.ID)
	}
	return ids
}

func (s *shop) depth(t *testing.T) int {
	t.Helper()
	state, err := s.State(t.Context(), stream)
	require.NoError(t, err)
	return state.Depth
}

func (s *shop) replay(t *testing.T, q deadletter.Queue, f deadletter.Filter, o deadletter.ReplayOptions) (deadletter.Replayed, error) {
	t.Helper()
	plan, err := deadletter.NewPlan(t.Context(), s, stream, f)
	require.NoError(t, err)
	return plan.Run(t.Context(), q, o)
}

func TestAReplayReachesTheGroupThatFailedInTheOrderOfTheOriginals(t *testing.T) {
	t.Parallel()
	s := newShop(t, 250)
	done, err := s.replay(t, s, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, deadletter.Replayed{Matched: 250, Delivered: 250}, done)
	require.Equal(t, 250, s.depth(t), "of the other group")
	require.Equal(t, s.ids, s.released(t, "g"))
	require.Empty(t, s.released(t, "h"))
}

// seen records each step of a replay, and fails one.
type failing struct {
	*shop
	at int
}

func (f failing) Replay(ctx context.Context, r deadletter.Replay) ([]deadletter.Outcome, error) {
	if f.calls++; f.calls == f.at {
		return nil, errors.New("cut")
	}
	return f.shop.Replay(ctx, r)
}

func TestAReplayThatWasInterruptedIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	s := newShop(t, 250)
	done, err := s.replay(t, failing{s, 3}, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
	require.ErrorContains(t, err, "cut")
	require.Equal(t, 200, done.Delivered)
	done, err = s.replay(t, s, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, deadletter.Replayed{Matched: 50, Delivered: 50}, done)
	require.Equal(t, s.ids, s.released(t, "g"), "each once")
}

func TestAReplayKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 100)
		began, steps := time.Now(), 0
		_, err := s.replay(t, s, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{Rate: 50, Progress: func(done deadletter.Replayed) {
			steps++
			require.LessOrEqual(t, float64(done.Delivered), 50*time.Since(began).Seconds()+5)
		}})
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, 20, steps)
	})
}

// strangers are groups of which no engine of ours is known.
type strangers struct{ *shop }

func (s strangers) Groups(ctx context.Context, stream string) ([]deadletter.Group, error) {
	groups, err := s.shop.Groups(ctx, stream)
	for i := range groups {
		groups[i].Live = false
		groups[i].Consumers = []deadletter.Consumer{{Name: "old-" + groups[i].Name, Idle: time.Hour}, {Name: "py-" + groups[i].Name, Idle: time.Second}}
	}
	return groups, err
}

func TestAMessageWhoseOriginalIsGoneIsCopiedForItsGroupAlone(t *testing.T) {
	synctest.Test(t, copyForOneGroup)
}

func copyForOneGroup(t *testing.T) {
	s := newShop(t, 2)
	require.NoError(t, s.DeleteStream(t.Context(), stream))
	time.Sleep(time.Second) // in the bubble: no copy has the id of an original
	for _, group := range []string{"g", "h"} {
		_, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: group, Consumer: "c"})
		require.NoError(t, err)
	}

	// Another program may read the stream: it would get the copies too.
	done, err := s.replay(t, strangers{s}, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
	require.NoError(t, err)
	require.Zero(t, done.Delivered)
	require.Len(t, done.Left, 1)
	for why, n := range done.Left {
		require.Equal(t, 2, n)
		require.Equal(t, "the original is gone, and a copy would reach h too, whose engine is not known to be ours: --broadcast adds it all the same", why)
	}
	require.Equal(t, 4, s.depth(t))

	for _, o := range []struct {
		queue deadletter.Queue
		how   deadletter.ReplayOptions
		group string
	}{
		{strangers{s}, deadletter.ReplayOptions{Owned: []string{"g", "h"}}, "g"},
		{strangers{s}, deadletter.ReplayOptions{Broadcast: true}, "h"},
	} {
		done, err = s.replay(t, o.queue, deadletter.Filter{Handler: o.group}, o.how)
		require.NoError(t, err)
		require.Equal(t, deadletter.Replayed{Matched: 2, Delivered: 2, Copied: 2}, done)
	}
	require.Zero(t, s.depth(t))
	m, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: "g", Consumer: "c"})
	require.NoError(t, err)
	got, _, err := m.Read(t.Context(), consumergroup.Read{Max: 10})
	require.NoError(t, err)
	require.Len(t, got, 4)
	for i, d := range got {
		group, original, replayed := d.ReplayedFor()
		require.True(t, replayed)
		require.Equal(t, []string{"g", "g", "h", "h"}[i], group)
		require.Equal(t, s.ids[i%2], original)
		e, err := message.FromDelivery(d)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("m%d", i%2), e.Metadata.Headers.ID, "the message's id is kept")
	}
}

// Python's engine reads what is pending for its own consumer, and claims nothing.
func TestWhereOnlyPythonRunsItsLivingConsumerGetsTheMessages(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	done, err := s.replay(t, strangers{s}, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, 3, done.Delivered)
	require.Empty(t, s.released(t, "g"))
	m, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: "g", Consumer: "py-g"})
	require.NoError(t, err)
	got, _, err := m.Pending(t.Context(), consumergroup.List{Max: 10})
	require.NoError(t, err)
	require.Len(t, got, 3)

	done, err = s.replay(t, strangers{s}, deadletter.Filter{Handler: "h"}, deadletter.ReplayOptions{Owned: []string{"h"}})
	require.NoError(t, err)
	require.Equal(t, 3, done.Delivered)
	require.Equal(t, s.ids, s.released(t, "h"), "a group of the file has an engine of ours")
}

func TestWhatCannotBeReplayedStaysAndSaysWhy(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	add := func(text string) {
		require.NoError(t, s.AddDeadLetters(t.Context(), stream, [][]message.Field{{{Name: "data", Value: []byte(text)}}}))
	}
	add("no JSON")
	add(`{"_dlq_metadata": {"original_stream": "other", "original_id": "1-0", "consumer_group": "g"}}`)
	add(`{"_dlq_metadata": {"original_stream": "shop::order", "original_id": "1-0", "consumer_group": "gone"}}`)
	add(`{"_dlq_metadata": {"original_stream": "shop::order", "original_id": "1-0", "consumer_group": "g"}}`)
	done, err := s.replay(t, s, deadletter.Filter{}, deadletter.ReplayOptions{})
	require.NoError(t, err)
	require.Equal(t, deadletter.Replayed{Matched: 6, Delivered: 2, Left: map[string]int{
		"no group or original is written in them":                          1,
		"their original is in another stream, other":                       1,
		"group gone does not exist: start its engine once, which makes it": 1,
		"the original is gone, and the original's content was not kept":    1,
	}}, done)
	require.Equal(t, 4, s.depth(t))
}

func TestACopyOfACopyKeepsTheIDOfTheFirstOriginal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 1)
		for range 3 {
			require.NoError(t, s.DeleteStream(t.Context(), stream))
			time.Sleep(time.Second) // in the bubble: no copy has the id of another
			m, err := s.Join(t.Context(), consumergroup.Member{Stream: stream, Group: "g", Consumer: "c"})
			require.NoError(t, err)
			done, err := s.replay(t, s, deadletter.Filter{Handler: "g"}, deadletter.ReplayOptions{})
			require.NoError(t, err)
			require.Equal(t, 1, done.Copied)
			got, _, err := m.Read(t.Context(), consumergroup.Read{Max: 10})
			require.NoError(t, err)
			require.Len(t, got, 1)
			_, original, _ := got[0].ReplayedFor()
			require.Equal(t, s.ids[0], original)
			e, err := message.FromFields(got[0])
			require.NoError(t, err)
			require.Equal(t, s.ids[0], e.Metadata.Headers.ID)
			dead := deadletter.Compose(got[0], deadletter.Metadata{ConsumerGroup: "g", Reason: deadletter.Exhausted})
			read := deadletter.Read(stream, message.Delivery{Fields: []message.Field{{Name: "data", Value: dead.Data}}})
			require.Equal(t, got[0].ID, read.Metadata.OriginalID, "the entry that it replaces")
			_, err = m.DeadLetter(t.Context(), []deadletter.Entry{dead})
			require.NoError(t, err)
		}
	})
}
