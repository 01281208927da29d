// Package memorystore is an event store in memory: for programs without a
// database, and for tests. It is gone with the process.
package memorystore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// Store is an event store. Its methods may be called side by side.
type Store struct {
	mu         sync.Mutex
	log        []message.Recorded // by global position, which counts from 1
	categories map[string][]int64 // the global positions of each
	streams    map[string]int64   // the length of each
	states     map[subscriptionKey]catchup.State
	appended   chan struct{} // closed by the next Append
}

type subscriptionKey struct{ subscription, category string }

// New returns an empty store.
func New() *Store {
	return &Store{
		categories: make(map[string][]int64), streams: make(map[string]int64),
		states: make(map[subscriptionKey]catchup.State), appended: make(chan struct{}),
	}
}

// Append adds a message to the stream that its headers name, and returns its
// global position.
func (s *Store) Append(_ context.Context, e message.Envelope) (position int64, err error) {
	stream := e.Metadata.Headers.Stream
	if stream == "" {
		return 0, fmt.Errorf("memory event store: message %q names no stream in its headers", e.Metadata.Headers.ID)
	}
	text, err := e.Encode()
	if err != nil {
		return 0, fmt.Errorf("memory event store: message %q: %w", e.Metadata.Headers.ID, err)
	}
	var parts struct{ Data, Metadata json.RawMessage }
	if err := json.Unmarshal(text, &parts); err != nil {
		return 0, fmt.Errorf("memory event store: message %q: %w", e.Metadata.Headers.ID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := message.Recorded{
		Stream: stream, Position: s.streams[stream], GlobalPosition: int64(len(s.log)) + 1,
		ID: e.Metadata.Headers.ID, Type: e.Metadata.Headers.Type, Data: parts.Data, Metadata: parts.Metadata,
	}
	s.log = append(s.log, r)
	s.streams[stream]++
	category := message.Category(stream)
	s.categories[category] = append(s.categories[category], r.GlobalPosition)
	close(s.appended)
	s.appended = make(chan struct{})
	return r.GlobalPosition, nil
}

// ReadCategory implements [catchup.Log].
func (s *Store) ReadCategory(ctx context.Context, category string, after int64, max int) ([]message.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	positions := s.categories[category]
	from, _ := slices.BinarySearch(positions, after+1)
	return s.at(positions[from:min(from+max, len(positions))]), ctx.Err()
}

// ReadAt implements [catchup.Log].
func (s *Store) ReadAt(ctx context.Context, category string, positions []int64) ([]message.Recorded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.DeleteFunc(slices.Clone(positions), func(p int64) bool {
		_, found := slices.BinarySearch(s.categories[category], p)
		return !found
	})
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
func (s *Store) Wait(ctx context.Context, category string, after int64, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		s.mu.Lock()
		positions, appended := s.categories[category], s.appended
		s.mu.Unlock()
		if n := len(positions); n > 0 && positions[n-1] > after {
			return nil
		}
		select {
		case <-appended:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// LoadPosition implements [catchup.Positions].
func (s *Store) LoadPosition(ctx context.Context, subscription, category string) (catchup.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.states[subscriptionKey{subscription, category}]
	state.Failed = slices.Clone(state.Failed)
	return state, ctx.Err()
}

// SavePosition implements [catchup.Positions].
func (s *Store) SavePosition(ctx context.Context, subscription, category string, c catchup.Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory event store: save position: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := subscriptionKey{subscription, category}
	state := s.states[key]
	state.Position = max(state.Position, c.Position)
	failed := make(map[int64]catchup.Failed, len(state.Failed)+len(c.Failed))
	for _, f := range slices.Concat(state.Failed, c.Failed) {
		failed[f.Position] = f
	}
	for _, f := range slices.Concat(c.Resolved, c.Exhausted) {
		delete(failed, f.Position)
	}
	state.Failed = make([]catchup.Failed, 0, len(failed))
	for _, f := range failed {
		state.Failed = append(state.Failed, f)
	}
	slices.SortFunc(state.Failed, func(a, b catchup.Failed) int { return cmp.Compare(a.Position, b.Position) })
	s.states[key] = state
	return nil
}
