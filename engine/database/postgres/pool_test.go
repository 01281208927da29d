package postgres

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/database"
)

func take(t *testing.T, p *pool) *session {
	t.Helper()
	s, err := p.take(t.Context(), time.Minute)
	require.NoError(t, err)
	return s
}

func TestThePoolCountsAsSQLAlchemyDoes(t *testing.T) {
	t.Parallel()
	p := newPool(2, 3)
	is := func(out, overflow, in int) {
		t.Helper()
		require.Equal(t, database.PoolStats{Size: 2, CheckedOut: out, Overflow: overflow, CheckedIn: in}, p.stats())
	}
	is(0, -2, 0)
	a, b, c := take(t, p), take(t, p), take(t, p)
	is(3, 1, 0)
	require.True(t, p.put(a))
	require.True(t, p.put(b))
	is(1, 1, 2)
	require.False(t, p.put(c), "beyond pool_size")
	p.drop(c)
	is(0, 0, 2)
	require.Same(t, b, take(t, p), "the last given back")
	is(1, 0, 1)
}

func TestTheFiguresAddUpAtEveryMoment(t *testing.T) {
	t.Parallel()
	const size, overflow = 3, 4
	p := newPool(size, size+overflow)
	var users, watcher sync.WaitGroup
	done := make(chan struct{})
	watcher.Go(func() {
		for {
			s := p.stats()
			if s.CheckedIn+s.CheckedOut != s.Size+s.Overflow || s.Overflow > overflow || s.CheckedIn > size {
				t.Errorf("figures do not add up: %+v", s)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 20 {
		users.Go(func() {
			for range 500 {
				s, err := p.take(t.Context(), time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if rand.IntN(10) == 0 || !p.put(s) {
					p.drop(s)
				}
			}
		})
	}
	users.Wait()
	close(done)
	watcher.Wait()
	require.Zero(t, p.stats().CheckedOut)
}

func TestWaitingEndsAfterPoolTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, 1)
		s := take(t, p)
		start := time.Now()
		_, err := p.take(t.Context(), 30*time.Second)
		require.ErrorIs(t, err, database.ErrPoolTimeout)
		require.Equal(t, 30*time.Second, time.Since(start))
		require.True(t, p.put(s))
		require.Same(t, s, take(t, p), "no waiter is left")
	})
}

func TestWhoWaitedLongestIsServedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, 1)
		s := take(t, p)
		var order []int
		for i := range 3 {
			go func() {
				s, err := p.take(t.Context(), time.Minute)
				if err == nil {
					order = append(order, i)
					p.put(s)
				}
			}()
			synctest.Wait()
		}
		p.put(s)
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2}, order)
	})
}

func TestADroppedConnectionsPlaceGoesToWhoeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, 1)
		s := take(t, p)
		got := make(chan *session, 1)
		go func() { s, _ := p.take(t.Context(), time.Minute); got <- s }()
		synctest.Wait()
		p.drop(s)
		next := <-got
		require.NotNil(t, next)
		require.NotSame(t, s, next)
		require.Equal(t, 1, p.stats().CheckedOut)
	})
}

func TestWhoGivesUpWaitingTakesNothingAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, 1)
		s := take(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() { _, err := p.take(ctx, time.Minute); errs <- err }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		require.True(t, p.put(s))
		require.Equal(t, 1, p.stats().CheckedIn)
	})
}

// A connection that is handed over in the moment in which its taker times out
// is the taker's.
func TestNothingIsLostInTheLastMoment(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPool(1, 1)
	for range 100 { // select takes either of two that are ready
		served := make(chan *session, 1)
		served <- &session{}
		s, err := p.wait(ended, served, time.Minute)
		require.NoError(t, err)
		require.NotNil(t, s)
	}
}

func TestClosingThePoolEndsTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, 1)
		s := take(t, p)
		errs := make(chan error, 1)
		go func() { _, err := p.take(t.Context(), time.Minute); errs <- err }()
		synctest.Wait()
		require.Empty(t, p.close())
		require.ErrorIs(t, <-errs, database.ErrClosed)
		require.False(t, p.put(s), "to be closed")
		p.drop(s)
		<-p.gone
		_, err := p.take(t.Context(), time.Minute)
		require.ErrorIs(t, err, database.ErrClosed)
	})
}

func TestWithoutALimitNobodyWaits(t *testing.T) {
	t.Parallel()
	p := newPool(1, math.MaxInt)
	for range 100 {
		take(t, p)
	}
	require.Equal(t, 99, p.stats().Overflow)
}
