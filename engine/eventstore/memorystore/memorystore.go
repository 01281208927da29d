// Package memorystore is an event store in memory: for programs without a
// database, and for tests. It is gone with the process.
package memorystore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/eventstore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// Store is an event store. Its methods may be called side by side.
type Store struct {
	mu         sync.Mutex
	log        []message.Recorded // by global position, which counts from 1
	categories map[string][]int64 // the global positions of each
	streams    map[string][]int64 // the same of each stream
	progress   map[subscriptionKey]*progress
	pauses     map[subscription.Identity]subscription.PauseState
	appended   chan struct{} // closed by the next Append
}

// New returns an empty store.
func New() *Store {
	return &Store{
		categories: make(map[string][]int64), streams: make(map[string][]int64),
		progress: make(map[subscriptionKey]*progress), pauses: make(map[subscription.Identity]subscription.PauseState), appended: make(chan struct{}),
	}
}

// Close does nothing: the store is gone with the process.
func (s *Store) Close(context.Context) error { return nil }

// Ping returns nil: the store is there.
func (s *Store) Ping(context.Context) error { return nil }

// Append adds a message to the stream that its headers name, and returns its
// position there, from 0. Where its metadata expect a version and the stream has
// another the error is an *[eventstore.ExpectedVersionError].
func (s *Store) Append(_ context.Context, e message.Envelope) (position int64, err error) {
	r, err := e.Record()
	if err != nil {
		return 0, fmt.Errorf("memory event store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := s.streams[r.Stream]
	r.Position, r.GlobalPosition, r.Time = int64(len(stream)), int64(len(s.log))+1, time.Now().UTC()
	if expected := e.Metadata.Domain.ExpectedVersion; expected != nil && *expected != r.Position-1 {
		return 0, &eventstore.ExpectedVersionError{Stream: r.Stream, Expected: *expected, Actual: r.Position - 1}
	}
	s.log = append(s.log, r)
	s.streams[r.Stream] = append(stream, r.GlobalPosition)
	category := message.Category(r.Stream)
	s.categories[category] = append(s.categories[category], r.GlobalPosition)
	close(s.appended)
	s.appended = make(chan struct{})
	return r.Position, nil
}

// ReadStream returns up to max messages of a stream, from a position on.
func (s *Store) ReadStream(ctx context.Context, stream string, from int64, max int) ([]message.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	positions := s.streams[stream]
	first := min(from, int64(len(positions)))
	return s.at(positions[first:min(first+int64(max), int64(len(positions)))]), ctx.Err()
}

// LastMessage returns the last message of a stream, and whether there is one.
func (s *Store) LastMessage(ctx context.Context, stream string) (message.Recorded, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	positions := s.streams[stream]
	if len(positions) == 0 {
		return message.Recorded{}, false, ctx.Err()
	}
	return s.log[positions[len(positions)-1]-1], true, ctx.Err()
}

// ReadCategory implements [catchup.Log].
func (s *Store) ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if category == catchup.All {
		rest := s.log[min(after, int64(len(s.log))):]
		return slices.Clone(rest[:min(max, len(rest))]), ctx.Err()
	}
	positions := s.categories[category]
	from, _ := slices.BinarySearch(positions, after+1)
	return s.at(positions[from:min(from+max, len(positions))]), ctx.Err()
}

// ReadAt implements [catchup.Log].
func (s *Store) ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.DeleteFunc(slices.Clone(positions), func(p int64) bool {
		if category == catchup.All {
			return p < 1 || p > int64(len(s.log))
		}
		_, found := slices.BinarySearch(s.categories[category], p)
		return !found
	})
	slices.Sort(known)
	return s.at(known), ctx.Err()
}

func (s *Store) at(positions []int64) []message.Recorded {
	var got []message.Recorded
	for _, p := range positions {
		got = append(got, s.log[p-1])
	}
	return got
}

// Wait implements [catchup.Log].
func (s *Store) Wait(ctx context.Context, category string, after int64, d time.Duration) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		s.mu.Lock()
		last, head, appended := s.last(category), int64(len(s.log)), s.appended
		s.mu.Unlock()
		switch {
		case last > after:
			return true, nil
		case after > head:
			return false, ahead(after, head)
		}
		select {
		case <-appended:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// last is the global position of a category's last message; 0 where it has none.
func (s *Store) last(category string) int64 {
	if category == catchup.All {
		return int64(len(s.log))
	}
	if positions := s.categories[category]; len(positions) > 0 {
		return positions[len(positions)-1]
	}
	return 0
}
