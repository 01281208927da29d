package collector_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/collector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source answers after a delay, and counts how often it was read.
type source struct {
	name  string
	delay time.Duration
	hangs bool // ignores its context
	err   error
	panic string
	reads atomic.Int32
}

func (s *source) Name() string { return s.name }

func (s *source) Collect(ctx context.Context) (collector.Figures, error) {
	s.reads.Add(1)
	known := collector.Figures{Brokers: []collector.Broker{{Name: s.name, Up: collector.Known(1)}}}
	done := ctx.Done()
	if s.hangs {
		done = nil
	}
	select {
	case <-time.After(s.delay):
	case <-done:
		known.Brokers[0].Up = collector.Known(0)
		return known, ctx.Err()
	}
	if s.panic != "" {
		panic(s.panic)
	}
	return known, s.err
}

func open(t *testing.T, sources ...collector.Source) *collector.Collector {
	t.Helper()
	c := collector.New(collector.Config{Sources: sources, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestSourcesAreReadSideBySideAndKeptForMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &source{name: "a", delay: time.Second}, &source{name: "b", delay: time.Second}
		c := open(t, a, b)
		require.Zero(t, a.reads.Load(), "read before a snapshot was asked for")

		started := time.Now()
		first, err := c.Snapshot(within(t, 10*time.Second))
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(started))
		require.Equal(t, []string{"a", "b"}, []string{first.Parts[0].Source, first.Parts[1].Source})
		require.Equal(t, time.Second, first.Parts[1].Duration)

		time.Sleep(1999 * time.Millisecond)
		again, err := c.Snapshot(t.Context())
		require.NoError(t, err)
		require.Same(t, first, again)

		time.Sleep(time.Millisecond)
		fresh, err := c.Snapshot(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, fresh)
		require.EqualValues(t, 2, a.reads.Load())
	})
}

func TestConcurrentCallersShareOneCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &source{name: "a", delay: time.Second}
		c := open(t, a)
		got := make(chan *collector.Snapshot, 20)
		for range cap(got) {
			go func() {
				s, _ := c.Snapshot(within(t, 5*time.Second))
				got <- s
			}()
		}
		first := <-got
		for range cap(got) - 1 {
			require.Same(t, first, <-got)
		}
		require.EqualValues(t, 1, a.reads.Load())
	})
}

func TestASlowSourceCostsItsOwnPartOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &source{name: "quick"}, &source{name: "slow", delay: time.Minute})
		started := time.Now()
		s, err := c.Snapshot(within(t, 5*time.Second))
		require.NoError(t, err)
		require.Equal(t, 4500*time.Millisecond, time.Since(started), "a source has all but the margin")
		require.NoError(t, s.Parts[0].Err)
		require.ErrorIs(t, s.Parts[1].Err, context.DeadlineExceeded)
		require.Equal(t, collector.Known(0), s.Parts[1].Brokers[0].Up, "what it knew counts")
	})
}

func TestASourceThatHangsNeitherDelaysNorPilesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := &source{name: "hanging", delay: time.Minute, hangs: true}
		c := open(t, hanging, &source{name: "quick"})
		for range 3 {
			started := time.Now()
			s, err := c.Snapshot(within(t, 5*time.Second))
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(started), 5*time.Second)
			require.ErrorIs(t, s.Parts[0].Err, collector.ErrUnfinished)
			require.NoError(t, s.Parts[1].Err)
			time.Sleep(5 * time.Second)
		}
		require.EqualValues(t, 1, hanging.reads.Load())

		time.Sleep(time.Minute)
		s, err := c.Snapshot(within(t, 2*time.Minute))
		require.NoError(t, err)
		require.NoError(t, s.Parts[0].Err, "read again once it returned")
	})
}

func TestAnEarlierDeadlineGetsWhatWasReadAndCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &source{name: "slow", delay: 3 * time.Second}
		c := open(t, &source{name: "quick"}, slow)
		whole := make(chan *collector.Snapshot, 1)
		go func() {
			s, _ := c.Snapshot(within(t, 10*time.Second))
			whole <- s
		}()
		synctest.Wait()

		s, err := c.Snapshot(within(t, time.Second))
		require.NoError(t, err)
		require.NoError(t, s.Parts[0].Err)
		require.ErrorIs(t, s.Parts[1].Err, collector.ErrUnfinished)
		require.ErrorIs(t, s.Parts[1].Err, context.DeadlineExceeded)
		require.Equal(t, time.Second, s.Parts[1].Duration)

		require.NoError(t, (<-whole).Parts[1].Err)
		require.EqualValues(t, 1, slow.reads.Load())
	})
}

func TestACallerWhoseContextEndsDoesNotEndTheCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &source{name: "slow", delay: 3 * time.Second}
		c := open(t, slow)
		ending, end := context.WithTimeout(t.Context(), 10*time.Second)
		go func() { _, _ = c.Snapshot(ending) }()
		synctest.Wait()
		end()

		s, err := c.Snapshot(within(t, 10*time.Second))
		require.NoError(t, err)
		require.NoError(t, s.Parts[0].Err)
		require.EqualValues(t, 1, slow.reads.Load())
	})
}

func TestALaterDeadlineGetsAnotherCollectionWhereTheFirstWasCutShort(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			slow := &source{name: "slow", delay: 1200 * time.Millisecond, hangs: hangs}
			other := &source{name: "other", delay: 1200 * time.Millisecond}
			c := open(t, other, slow)
			go func() { _, _ = c.Snapshot(within(t, time.Second)) }()
			synctest.Wait()

			s, err := c.Snapshot(within(t, 10*time.Second))
			require.NoError(t, err)
			require.NoError(t, s.Parts[0].Err)
			require.EqualValues(t, 2, other.reads.Load())
		})
	}
}

func TestABrokenSourceIsNotReadAgainWithinMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &source{name: "broken", err: errors.New("refused")}
		c := open(t, broken)
		for range 3 {
			s, err := c.Snapshot(t.Context())
			require.NoError(t, err)
			require.EqualError(t, s.Parts[0].Err, "refused")
			require.Len(t, s.Parts[0].Brokers, 1, "figures read before the error")
		}
		require.EqualValues(t, 1, broken.reads.Load())
	})
}

func TestASourceThatPanicsIsAFailedPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &source{name: "bad", panic: "boom"}, &source{name: "good"})
		s, err := c.Snapshot(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, s.Parts[0].Err, "boom")
		require.NoError(t, s.Parts[1].Err)
	})
}

func TestNoSourcesIsAnEmptySnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := open(t).Snapshot(t.Context())
		require.NoError(t, err)
		require.Empty(t, s.Parts)
	})
}

func TestTheLogHasOneLineAStateChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		flaky := &source{name: "flaky", err: errors.New("refused")}
		c := collector.New(collector.Config{
			Sources: []collector.Source{flaky}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for i := range 6 {
			if i == 3 {
				flaky.err = nil
			}
			_, err := c.Snapshot(t.Context())
			require.NoError(t, err)
			time.Sleep(3 * time.Second)
		}
		require.NoError(t, c.Close(t.Context()))
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		require.Len(t, lines, 2)
		require.Contains(t, lines[0], "refused")
		require.Contains(t, lines[1], "whole again")
	})
}

func TestCloseCancelsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &source{name: "slow", delay: time.Hour})
		got := make(chan *collector.Snapshot, 1)
		go func() {
			s, _ := c.Snapshot(t.Context())
			got <- s
		}()
		synctest.Wait()
		started := time.Now()
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, c.Close(t.Context()), "twice")
		require.Zero(t, time.Since(started))
		require.ErrorIs(t, (<-got).Parts[0].Err, context.Canceled)

		_, err := c.Snapshot(t.Context())
		require.ErrorIs(t, err, collector.ErrClosed)
	})
}

func TestCloseIsBoundedAndNamesWhatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &source{name: "hanging", delay: time.Minute, hangs: true})
		_, err := c.Snapshot(within(t, time.Second))
		require.NoError(t, err)
		require.ErrorContains(t, c.Close(within(t, time.Second)), `"hanging"`)
	})
}
