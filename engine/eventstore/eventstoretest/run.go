// Package eventstoretest is the conformance suite of event stores: every adapter
// runs it unchanged.
package eventstoretest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
	"github.com/observatory-go/observatory/engine/subscription/pausetest"
)

// Store is what an event store offers.
type Store interface {
	catchup.Store
	Append(ctx context.Context, e message.Envelope) (position int64, err error)
	ReadStream(ctx context.Context, stream string, from int64, max int) ([]message.Recorded, error)
	LastMessage(ctx context.Context, stream string) (message.Recorded, bool, error)
	Ping(ctx context.Context) error
}

// Process is a store as one process has it.
type Process struct {
	Store
	// Die ends what the process owns, as its end would.
	Die func()
}

// Run tests a store: open makes an empty one, and returns what makes a process
// that uses it.
func Run(t *testing.T, open func(t *testing.T) func() Process) {
	t.Run("append and read", func(t *testing.T) { testRead(t, open(t)()) })
	t.Run("expected version", func(t *testing.T) { testExpectedVersion(t, open(t)()) })
	t.Run("concurrent writers", func(t *testing.T) { testConcurrentWriters(t, open(t)()) })
	t.Run("wait", func(t *testing.T) { testWait(t, open(t)()) })
	t.Run("positions", func(t *testing.T) { testPositions(t, open(t)) })
	t.Run("pauses", func(t *testing.T) {
		if keeper, ok := open(t)().Store.(pausetest.Keeper); ok {
			pausetest.Run(t, keeper, "shop::order")
		}
	})
	t.Run("one owner", func(t *testing.T) { testOwner(t, open(t)) })
}

// Event is an event of a stream.
func Event(t testing.TB, stream, id string) message.Envelope {
	t.Helper()
	e, err := message.New(message.KindEvent, message.Headers{ID: id, Type: "Shop.Placed.v1", Stream: stream}, json.RawMessage(`{"n": 1.5, "text": "ü"}`))
	require.NoError(t, err)
	return e
}

func appendAll(t *testing.T, s Store, streams ...string) {
	t.Helper()
	for i, stream := range streams {
		_, err := s.Append(t.Context(), Event(t, stream, fmt.Sprint("e-", i)))
		require.NoError(t, err)
	}
}

func streamsOf(got []message.Recorded) (streams []string) {
	for _, r := range got {
		streams = append(streams, r.Stream)
	}
	return streams
}

func testRead(t *testing.T, s Process) {
	ctx := t.Context()
	require.NoError(t, s.Ping(ctx))
	appendAll(t, s, "shop::order-1", "shop::customer-1", "shop::order-2", "shop::order-1")
	got, err := s.ReadCategory(ctx, "shop::order", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"shop::order-1", "shop::order-2", "shop::order-1"}, streamsOf(got))
	require.EqualValues(t, 1, got[2].Position, "the second of its stream")
	require.Less(t, got[0].GlobalPosition, got[1].GlobalPosition)
	require.WithinDuration(t, time.Now(), got[0].Time, time.Minute)
	e, err := message.FromDelivery(got[0].Delivery())
	require.NoError(t, err)
	require.NoError(t, e.Verify(), "the checksum survives")
	require.Equal(t, "e-0", e.Metadata.Headers.ID)

	first, last := got[0].GlobalPosition, got[2].GlobalPosition
	page, err := s.ReadCategory(ctx, "shop::order", first, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"shop::order-2"}, streamsOf(page))
	page, err = s.ReadCategory(ctx, "shop::order", last, 10)
	require.NoError(t, err)
	require.Empty(t, page)
	page, err = s.ReadCategory(ctx, "order", 0, 10)
	require.NoError(t, err)
	require.Empty(t, page, "a category is no part of another's name")
	page, err = s.ReadCategory(ctx, catchup.All, first, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"shop::customer-1", "shop::order-2"}, streamsOf(page))

	page, err = s.ReadAt(ctx, "shop::order", []int64{last, first, first + 1, 7777})
	require.NoError(t, err)
	require.Equal(t, []string{"shop::order-1", "shop::order-1"}, streamsOf(page), "another category's and an unknown one are left out")
	page, err = s.ReadAt(ctx, catchup.All, []int64{first + 1, 7777})
	require.NoError(t, err)
	require.Equal(t, []string{"shop::customer-1"}, streamsOf(page))

	page, err = s.ReadStream(ctx, "shop::order-1", 1, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.EqualValues(t, 1, page[0].Position)
	one, found, err := s.LastMessage(ctx, "shop::order-1")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, last, one.GlobalPosition)
	_, found, err = s.LastMessage(ctx, "shop::order-9")
	require.NoError(t, err)
	require.False(t, found)

	_, err = s.Append(ctx, Event(t, "", "e-1"))
	require.ErrorContains(t, err, `message "e-1" names no stream`)
}

func testExpectedVersion(t *testing.T, s Process) {
	expecting := func(version int64) error {
		e := Event(t, "shop::order-1", "e")
		e.Metadata.Domain.ExpectedVersion = &version
		_, err := s.Append(t.Context(), e)
		return err
	}
	require.NoError(t, expecting(eventstore.NoStream))
	err := expecting(eventstore.NoStream)
	var conflict *eventstore.ExpectedVersionError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.ExpectedVersionError{Stream: "shop::order-1", Expected: -1, Actual: 0}, *conflict)
	require.EqualError(t, err, "Wrong expected version: -1 (Stream: shop::order-1, Stream Version: 0)")

	const writers = 50
	results := make(chan error, writers)
	for range writers {
		go func() { results <- expecting(0) }()
	}
	won := 0
	for range writers {
		if err := <-results; err == nil {
			won++
		} else {
			require.ErrorAs(t, err, &conflict)
		}
	}
	require.Equal(t, 1, won)
}

// testConcurrentWriters follows a category and the whole store while several
// write: each message is seen once.
func testConcurrentWriters(t *testing.T, s Process) {
	const writers, each = 4, 50
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				_, err := s.Append(ctx, Event(t, fmt.Sprintf("shop::c%d-%d", w%2, i), fmt.Sprint(w, "/", i)))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	follow := func(category string, want int) {
		seen := map[int64]bool{}
		after := int64(0)
		for len(seen) < want && ctx.Err() == nil {
			got, err := s.ReadCategory(ctx, category, after, 7)
			if err != nil {
				t.Error(err)
				return
			}
			for _, r := range got {
				if r.GlobalPosition <= after || seen[r.GlobalPosition] {
					t.Errorf("%s: position %d comes after %d", category, r.GlobalPosition, after)
				}
				after = r.GlobalPosition
				seen[after] = true
			}
		}
		if len(seen) != want {
			t.Errorf("%s: saw %d of %d", category, len(seen), want)
		}
	}
	all.Go(func() { follow("shop::c0", writers/2*each) })
	all.Go(func() { follow(catchup.All, writers*each) })
	all.Wait()
}

func testWait(t *testing.T, s Process) {
	ctx := t.Context()
	appendAll(t, s, "shop::order-1")
	for _, category := range []string{"shop::order", catchup.All} {
		found, err := s.Wait(ctx, category, 0, time.Minute)
		require.NoError(t, err)
		require.True(t, found)
	}
	found, err := s.Wait(ctx, "shop::order", 1, 10*time.Millisecond)
	require.NoError(t, err)
	require.False(t, found)
	got := make(chan error, 1)
	go func() {
		found, err := s.Wait(ctx, "shop::order", 1, time.Minute)
		if err == nil && !found {
			err = errors.New("nothing was found")
		}
		got <- err
	}()
	appendAll(t, s, "shop::customer-1", "shop::order-2")
	require.NoError(t, <-got)
	ended, end := context.WithCancel(ctx)
	end()
	_, err = s.Wait(ended, "shop::order", 3, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Wait(ctx, "shop::order", 99, time.Minute)
	var ahead *catchup.AheadError
	require.ErrorAs(t, err, &ahead, "the store was replaced")
	require.EqualValues(t, 99, ahead.Position)
	require.EqualValues(t, 3, ahead.Head)
}

const (
	subscriber = "shop.orders.Report"
	category   = "shop::order"
)

func testPositions(t *testing.T, process func() Process) {
	ctx := t.Context()
	s := process()
	for i := range 5 {
		appendAll(t, s, fmt.Sprint(category, "-", i))
	}
	state, err := s.LoadPosition(ctx, subscriber, category)
	require.NoError(t, err)
	require.Equal(t, catchup.State{}, state, "of one that never saved")

	owner, err := s.Own(ctx, subscriber, category)
	require.NoError(t, err)
	require.Equal(t, catchup.State{Head: 5, Fence: 1}, owner.State())
	fence := owner.State().Fence
	save := func(c catchup.Change) catchup.State {
		t.Helper()
		require.NoError(t, owner.Save(ctx, c))
		state, err := s.LoadPosition(ctx, subscriber, category)
		require.NoError(t, err)
		return state
	}
	third := catchup.Failed{Position: 3, Attempts: 1, MessageID: "e-3", MessageType: "T", Stream: "shop::order-2", StreamPosition: 7}
	second := catchup.Failed{Position: 2, MessageID: "e-2", MessageType: "T", Stream: "shop::order-1"}
	state = save(catchup.Change{Position: 4, Failed: []catchup.Failed{third, second}})
	require.EqualValues(t, 4, state.Position)
	require.Equal(t, []catchup.Failed{second, third}, state.Failed, "by position")
	require.True(t, state.Interrupted, "it has not stopped")
	third.Attempts = 2
	state = save(catchup.Change{Position: 1, Failed: []catchup.Failed{third}, Resolved: []catchup.Failed{second}})
	require.EqualValues(t, 4, state.Position, "it never goes back")
	require.Equal(t, []catchup.Failed{third}, state.Failed)
	require.Empty(t, save(catchup.Change{Exhausted: []catchup.Failed{third}}).Failed)
	state = save(catchup.Change{Position: 5, Failed: []catchup.Failed{second}, Stopped: true})
	require.Equal(t, catchup.State{Position: 5, Failed: []catchup.Failed{second}}, state)
	require.NoError(t, owner.Release(ctx))
	require.NoError(t, owner.Release(ctx), "repeated")

	for range 2 { // the second reads the checkpoint of the first, where the store keeps one
		again, err := s.Own(ctx, subscriber, category)
		require.NoError(t, err)
		owned := again.State()
		require.GreaterOrEqual(t, owned.Head, int64(5))
		require.Greater(t, owned.Fence, fence, "each owner has a greater one")
		fence = owned.Fence
		owned.Head, owned.Fence = 0, 0
		require.Equal(t, state, owned)
		require.NoError(t, again.Save(ctx, catchup.Change{Stopped: true}))
		require.NoError(t, again.Release(ctx))
	}
	other, err := s.LoadPosition(ctx, "other", category)
	require.NoError(t, err)
	require.Zero(t, other.Position)
}

func testOwner(t *testing.T, process func() Process) {
	ctx := t.Context()
	first, second := process(), process()
	appendAll(t, first, "shop::order-1", "shop::order-2")
	owner, err := first.Own(ctx, subscriber, category)
	require.NoError(t, err)
	require.NoError(t, owner.Save(ctx, catchup.Change{Position: 1}))
	_, err = second.Own(ctx, subscriber, category)
	require.ErrorIs(t, err, catchup.ErrOwned)
	_, err = second.Own(ctx, subscriber, "shop::customer")
	require.NoError(t, err, "another category is another subscription")

	first.Die()
	var next catchup.Ownership
	require.Eventually(t, func() bool {
		next, err = second.Own(ctx, subscriber, category)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond, "%v", err)
	require.EqualValues(t, 1, next.State().Position)
	require.True(t, next.State().Interrupted)
	select {
	case <-owner.Ended():
	case <-time.After(10 * time.Second):
		t.Fatal("the former owner does not know that it is none any more")
	}
	require.ErrorIs(t, owner.Save(ctx, catchup.Change{Position: 2}), catchup.ErrFenced)
	require.NoError(t, next.Save(ctx, catchup.Change{Position: 2}))
	require.NoError(t, next.Release(ctx))
}
