package brokertest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

const (
	consumers  = 4
	publishers = 2
	perSource  = 250
)

var concurrencyTests = []test{
	{"concurrency/each entry goes to exactly one of many consumers", broker.ConsumerGroups, eachOnce},
	{"concurrency/one membership is used side by side", broker.ConsumerGroups, membershipShared},
}

// tally counts what came, by id.
type tally struct {
	mu    sync.Mutex
	times map[string]int
	total atomic.Int64
}

func (c *tally) add(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.times[id]++
	}
	c.total.Add(int64(len(ids)))
}

func (c *tally) requireEachOnce(t *testing.T, n int) {
	t.Helper()
	require.Len(t, c.times, n)
	for id, times := range c.times {
		require.Equal(t, 1, times, "entry %s", id)
	}
}

func eachOnce(t *testing.T, f *fixture) {
	members := make([]membership, consumers)
	for i := range members {
		members[i] = f.join(t, "g", "consumer-"+strconv.Itoa(i))
	}
	consume(t, f, func(i int) membership { return members[i] })
	for _, s := range members {
		require.Empty(t, s.pending(t), "all were acknowledged on the way")
	}
}

func membershipShared(t *testing.T, f *fixture) {
	s := f.join(t, "g", "c")
	consume(t, f, func(int) membership { return s })
	require.Empty(t, s.pending(t))
}

// consume publishes and consumes at once until every entry was got.
func consume(t *testing.T, f *fixture, memberOf func(int) membership) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := &tally{times: map[string]int{}}
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range perSource {
				_, err := f.Publish(ctx, f.stream, data("x"))
				assert.NoError(t, err)
			}
		})
	}
	for i := range consumers {
		wg.Go(func() { consumeUntil(ctx, t, memberOf(i), seen, publishers*perSource) })
	}
	wg.Wait()
	seen.requireEachOnce(t, publishers*perSource)
}

// consumeUntil reads, acknowledging the last batch with the next read.
func consumeUntil(ctx context.Context, t *testing.T, s membership, seen *tally, n int) {
	var acks []string
	for seen.total.Load() < int64(n) {
		got, acked, err := s.Read(ctx, consumergroup.Read{Max: 7, Acks: acks})
		if !assert.NoError(t, err) || !assert.True(t, acked) { //nolint:testifylint // require must not be called from this goroutine
			return
		}
		acks = idsOf(got)
		seen.add(acks)
	}
	assert.NoError(t, s.Ack(ctx, acks))
}
