package redisbroker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testserver"
)

// fill adds n entries of a size and has the group g read and acknowledge them.
func fill(t *testing.T, client *redis.Client, stream string, n, size int) {
	t.Helper()
	body := string(make([]byte, size))
	pipe := client.Pipeline()
	for range n {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"data", body}})
	}
	pipe.XGroupCreate(t.Context(), stream, "done", "$")
	pipe.XGroupSetID(t.Context(), stream, "done", "$")
	pipe.XGroupSetID(t.Context(), stream, "g", "$")
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
}

func TestTrimmingGoesOnUntilTheStreamHasItsLength(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		entries, size, length int
		calls                 int
	}{
		"many small ones":                      {25_000, 10, 30, 3},
		"a few, in one node of the stream":     {90, 1, 7, 1},
		"large ones, in nodes of their own":    {40, 20_000, 3, 1},
		"one more than the length":             {501, 600, 500, 1},
		"as many as one call removes, exactly": {10_005, 600, 5, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, stream := testserver.Redis(t), testserver.Name(t)
			client, b := server.Client(t), open(t, server.URL)
			s := join(t, b, stream, "c")
			fill(t, client, stream, test.entries, test.size)
			removed, calls := 0, 0
			for more := true; more; {
				came, err := s.Trim(t.Context(), consumergroup.Retention{MaxLen: test.length})
				require.NoError(t, err)
				removed, more = removed+came.Removed, came.More
				calls++
				if !more {
					require.Equal(t, consumergroup.Trimmed{Removed: came.Removed}, came)
				}
			}
			require.Equal(t, test.entries-test.length, removed)
			require.EqualValues(t, test.length, client.XLen(t.Context(), stream).Val())
			require.Equal(t, test.calls, calls)
		})
	}
}

func TestTrimmingChangesNoFigureOfAGroup(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 20)
	read(t, s, 15)
	require.NoError(t, s.Ack(t.Context(), ids[:12]))
	before := client.XInfoGroups(t.Context(), stream).Val()
	came, err := s.Trim(t.Context(), consumergroup.Retention{MaxLen: 2})
	require.NoError(t, err)
	require.Equal(t, consumergroup.Trimmed{Removed: 12, Beyond: 6, Group: "g"}, came)
	require.Equal(t, before, client.XInfoGroups(t.Context(), stream).Val())
	require.Equal(t, ids[12:], idsOf(append(pending(t, s), read(t, s, 100)...)))
}

// Protean trims with one group to a length, and deletes what was not read; with
// several up to what was delivered, and deletes what is pending.
func TestARetentionDeletesNeitherUnreadNorPendingEntries(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	ids := publish(t, b, stream, 300)
	_, err := s.Trim(t.Context(), consumergroup.Retention{MaxLen: 1})
	require.NoError(t, err)
	require.Equal(t, ids, idsOf(read(t, s, 1000)))
	other, err := b.Join(t.Context(), consumergroup.Member{Stream: stream, Group: "other", Consumer: "c"})
	require.NoError(t, err)
	require.Equal(t, ids, idsOf(read(t, other, 1000)))
	require.NoError(t, s.Ack(t.Context(), ids))
	_, err = s.Trim(t.Context(), consumergroup.Retention{MaxLen: 1})
	require.NoError(t, err)
	got, err := other.Bodies(t.Context(), ids)
	require.NoError(t, err)
	for _, d := range got {
		require.NotEmpty(t, d.Fields)
	}
}

func TestWhatRetentionHoldsIsAFigure(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	b := open(t, server.URL)
	s := join(t, b, stream, "c")
	held := func() (collector.Value, string) {
		figures, err := b.Source("shop", "default", []collector.Watch{{Domain: "shop", Stream: stream, Group: "g"}}).Collect(t.Context())
		require.NoError(t, err)
		return figures.Streams[0].RetentionHeld, figures.Streams[0].RetentionHeldBy
	}
	trim := func() error {
		_, err := s.Trim(t.Context(), consumergroup.Retention{MaxLen: 10})
		return err
	}
	require.Equal(t, []any{collector.Value{}, ""}, pair(held()), "it was never trimmed")
	publish(t, b, stream, 30)
	require.NoError(t, trim())
	require.Equal(t, []any{collector.Known(20), "g"}, pair(held()))
	require.NoError(t, s.Ack(t.Context(), idsOf(read(t, s, 100))))
	require.NoError(t, trim())
	require.Equal(t, []any{collector.Known(0), ""}, pair(held()))

	require.NoError(t, server.Client(t).XGroupDestroy(t.Context(), stream, "g").Err())
	require.ErrorIs(t, trim(), consumergroup.ErrNoGroup)
	require.Equal(t, []any{collector.Value{}, ""}, pair(held()), "what is not known is not zero")
}

func pair[A, B any](a A, b B) []any { return []any{a, b} }

// reader is a group that reads what is numbered, acknowledges some at once and some
// later, and remembers what it got.
type reader struct {
	consumergroup.Membership
	name  string
	next  int
	open  []message.Delivery
	ghost int // bodies that were gone when they were read again
	gap   string
}

func (r *reader) turn(ctx context.Context, rng *rand.Rand) error {
	got, _, err := r.Read(ctx, consumergroup.Read{Max: 1 + rng.IntN(40)})
	if err != nil {
		return err
	}
	for _, d := range got {
		var n int
		if _, err := fmt.Sscan(string(d.Fields[0].Value), &n); err != nil {
			return err
		}
		if r.next == -1 {
			r.next = n
		}
		if n != r.next && r.gap == "" {
			r.gap = fmt.Sprintf("got %d, expected %d", n, r.next)
		}
		r.next = n + 1
	}
	r.open = append(r.open, got...)
	rng.Shuffle(len(r.open), func(i, j int) { r.open[i], r.open[j] = r.open[j], r.open[i] })
	settled := rng.IntN(len(r.open) + 1)
	ids := idsOf(r.open[:settled])
	bodies, err := r.Bodies(ctx, ids)
	if err != nil {
		return err
	}
	for _, d := range bodies {
		if len(d.Fields) == 0 {
			r.ghost++
		}
	}
	r.open = slices.Clone(r.open[settled:])
	return r.Ack(ctx, ids)
}

func TestNothingUnacknowledgedIsRemovedWhileGroupsReadFailAndAppear(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client, b := server.Client(t), open(t, server.URL)
	const groups, rounds = 8, 150
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	own := join(t, b, stream, "trims")
	var producer, trimmer, readers sync.WaitGroup
	producer.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = b.Publish(ctx, stream, text(fmt.Sprint(n)))
		}
	})
	removed := 0
	trimmer.Go(func() {
		for ctx.Err() == nil {
			got, _, err := own.Read(ctx, consumergroup.Read{Max: 100})
			if err == nil {
				err = own.Ack(ctx, idsOf(got))
			}
			if err != nil {
				continue
			}
			came, _ := own.Trim(ctx, consumergroup.Retention{MaxLen: 5})
			removed += came.Removed
		}
	})
	all := make([]*reader, groups)
	for i := range all {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			r := &reader{name: fmt.Sprintf("group-%d", i), next: -1}
			all[i] = r
			for range 20 * i { // each appears later than the one before
				_, _ = client.XLen(ctx, stream).Result()
			}
			// The group is created and the oldest entry read in one step.
			pipe := client.TxPipeline()
			pipe.XGroupCreate(ctx, stream, r.name, "0")
			oldest := pipe.XRangeN(ctx, stream, "-", "+", 1)
			if _, err := pipe.Exec(ctx); err != nil {
				r.gap = err.Error()
				return
			}
			if entries := oldest.Val(); len(entries) > 0 {
				_, _ = fmt.Sscan(entries[0].Values["data"].(string), &r.next)
			}
			m, err := b.Join(ctx, consumergroup.Member{Stream: stream, Group: r.name, Consumer: "c"})
			if err != nil {
				r.gap = err.Error()
				return
			}
			r.Membership = m
			for range rounds {
				if err := r.turn(ctx, rng); err != nil {
					r.gap = err.Error()
					return
				}
			}
			// What is left is acknowledged, so that it holds nothing back any more.
			if err := r.Ack(ctx, idsOf(r.open)); err != nil {
				r.gap = err.Error()
				return
			}
			_ = client.XGroupDestroy(ctx, stream, r.name).Err()
		})
	}
	readers.Wait()
	cancel()
	producer.Wait()
	trimmer.Wait()
	for _, r := range all {
		require.Empty(t, r.gap, r.name)
		require.Zero(t, r.ghost, r.name)
		require.Positive(t, r.next, r.name)
	}
	require.Positive(t, removed)
}

// Another process trims, whose own pending list says nothing of it.
func TestWhatAnotherProcessMayHaveInFlightIsNotTrimmed(t *testing.T) {
	t.Parallel()
	server, stream := testserver.Redis(t), testserver.Name(t)
	client := server.Client(t)
	a, b := join(t, open(t, server.URL), stream, "a"), join(t, open(t, server.URL), stream, "b")
	ids := publish(t, open(t, server.URL), stream, 20)
	require.Len(t, read(t, a, 20), 20)
	floor, err := message.ParseEntryID(ids[5])
	require.NoError(t, err)
	held := consumergroup.Retention{MaxLen: 1, FloorsFor: time.Minute, Floors: []consumergroup.Floor{{Group: "g", Consumer: "a", ID: floor}}}
	_, err = a.Trim(t.Context(), held)
	require.NoError(t, err)
	require.NoError(t, client.XGroupDelConsumer(t.Context(), stream, "g", "a").Err())

	trimmed, err := b.Trim(t.Context(), consumergroup.Retention{MaxLen: 1})
	require.NoError(t, err)
	require.Equal(t, consumergroup.Trimmed{Removed: 5, Beyond: 14, Group: "g"}, trimmed)
	require.Equal(t, ids[5], client.XRangeN(t.Context(), stream, "-", "+", 1).Val()[0].ID)

	require.NoError(t, client.XGroupDestroy(t.Context(), stream, "g").Err())
	require.NoError(t, client.XGroupCreate(t.Context(), stream, "g", ids[19]).Err())
	trimmed, err = b.Trim(t.Context(), consumergroup.Retention{MaxLen: 1})
	require.NoError(t, err)
	require.Equal(t, 14, trimmed.Beyond, "nor after the group was made again")
}
