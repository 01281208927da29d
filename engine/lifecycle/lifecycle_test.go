package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

func TestAFailureEndsTheOthersAndIsNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := lifecycle.Group{OnFailure: cancel}
	g.Go(ctx, "waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Go(ctx, "wraps", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("read: %w", ctx.Err()) })
	g.Go(ctx, "web server", func(context.Context) error { return errBroken })
	err := g.Wait()
	require.ErrorIs(t, err, errBroken)
	require.EqualError(t, err, "web server: broken", "ending with its context is no failure")
}

func TestAllFailuresAreReported(t *testing.T) {
	var g lifecycle.Group
	g.Go(t.Context(), "a", func(context.Context) error { return errBroken })
	g.Go(t.Context(), "b", func(context.Context) error { return errBroken })
	err := g.Wait()
	require.ErrorContains(t, err, "a: broken")
	require.ErrorContains(t, err, "b: broken")
}

func TestWithoutOnFailureTheOthersRunOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g lifecycle.Group
		more, finished := make(chan struct{}), false
		g.Go(t.Context(), "fails", func(context.Context) error { return errBroken })
		g.Go(t.Context(), "ends early", func(context.Context) error { return nil })
		g.Go(t.Context(), "works", func(ctx context.Context) error {
			select {
			case <-more:
				finished = true
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		synctest.Wait()
		close(more)
		require.EqualError(t, g.Wait(), "fails: broken")
		require.True(t, finished)
	})
}

func TestACancellationOfAnotherContextIsAFailure(t *testing.T) {
	var g lifecycle.Group
	g.Go(t.Context(), "a", func(context.Context) error { return context.Canceled })
	require.EqualError(t, g.Wait(), "a: context canceled")
}

func TestAnEmptyGroupHasNothingToWaitFor(t *testing.T) {
	var g lifecycle.Group
	require.NoError(t, g.Wait())
}

func TestWhatWasOpenedLastIsClosedFirst(t *testing.T) {
	var c lifecycle.Closers
	var closed []string
	for _, name := range []string{"store", "broker", "cache"} {
		c.Add(name, func(context.Context) error { closed = append(closed, name); return nil })
	}
	require.NoError(t, c.Close(t.Context()))
	require.Equal(t, []string{"cache", "broker", "store"}, closed)

	require.NoError(t, c.Close(t.Context()))
	require.Len(t, closed, 3, "each is closed once")
}

func TestWhateverFailsTheRestIsClosed(t *testing.T) {
	var c lifecycle.Closers
	ctx, cancel := context.WithCancel(t.Context())
	var late error
	c.Add("last", func(ctx context.Context) error { late = ctx.Err(); return nil })
	c.Add("slow", func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	c.Add("first", func(context.Context) error { return errBroken })
	err := c.Close(ctx)
	require.EqualError(t, err, "close first: broken\nclose slow: context canceled")
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, late, context.Canceled, "called, with no time left")
}

func TestASecondCloseWaitsForTheFirst(t *testing.T) {
	var c lifecycle.Closers
	var done atomic.Bool
	entered, release, asked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c.Add("slow", func(context.Context) error { close(entered); <-release; done.Store(true); return errBroken })
	first, waited := make(chan error, 1), make(chan bool, 1)
	go func() { first <- c.Close(t.Context()) }()
	<-entered
	go func() {
		close(asked)
		err := c.Close(t.Context())
		waited <- done.Load() && err == nil
	}()
	<-asked
	close(release)
	require.EqualError(t, <-first, "close slow: broken")
	require.True(t, <-waited)
}
