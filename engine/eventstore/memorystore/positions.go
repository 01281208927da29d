package memorystore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

type subscriptionKey struct{ subscription, category string }

// progress is how far a subscription is, and its owner; nil where it has none.
type progress struct {
	state  catchup.State
	owner  *ownership
	owners int64 // how many there were
}

// ownership implements [catchup.Ownership].
type ownership struct {
	store *Store
	key   subscriptionKey
	state catchup.State
	ended chan struct{}
}

// Own implements [catchup.Positions]. An owner in memory lives as long as the
// process, or until Release or [Store.Expire].
func (s *Store) Own(ctx context.Context, subscription, category string) (catchup.Ownership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := subscriptionKey{subscription, category}
	p := s.progress[key]
	if p == nil {
		p = &progress{}
		s.progress[key] = p
	}
	if p.owner != nil {
		return nil, catchup.ErrOwned
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if head := int64(len(s.log)); p.state.Position > head {
		return nil, ahead(p.state.Position, head)
	}
	p.owner = &ownership{store: s, key: key, state: p.clone(), ended: make(chan struct{})}
	p.owners++
	p.owner.state.Head, p.owner.state.Fence = int64(len(s.log)), p.owners
	p.state.Interrupted = true // until it stops in order
	return p.owner, nil
}

func ahead(position, head int64) error {
	return &catchup.AheadError{Position: position, Head: head, WayOut: "start the program anew"}
}

// Expire ends an ownership as the end of its process would: for tests.
func (s *Store) Expire(subscription, category string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.progress[subscriptionKey{subscription, category}]; p != nil && p.owner != nil {
		p.owner.end(p)
	}
}

// LoadPosition implements [catchup.Positions].
func (s *Store) LoadPosition(ctx context.Context, subscription, category string) (catchup.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.progress[subscriptionKey{subscription, category}]; p != nil {
		return p.clone(), ctx.Err()
	}
	return catchup.State{}, ctx.Err()
}

// clone is a state that shares no memory.
func (p *progress) clone() catchup.State {
	state := p.state
	state.Failed = slices.Clone(state.Failed)
	return state
}

// State implements [catchup.Ownership].
func (o *ownership) State() catchup.State { return o.state }

// Ended implements [catchup.Ownership].
func (o *ownership) Ended() <-chan struct{} { return o.ended }

// Release implements [catchup.Ownership].
func (o *ownership) Release(context.Context) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	if p := o.store.progress[o.key]; p.owner == o {
		o.end(p)
	}
	return nil
}

// end leaves a subscription without owner. The store's lock is held.
func (o *ownership) end(p *progress) {
	close(o.ended)
	p.owner = nil
}

// Save implements [catchup.Ownership].
func (o *ownership) Save(ctx context.Context, c catchup.Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory event store: save position: %w", err)
	}
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	p := o.store.progress[o.key]
	if p.owner != o {
		return catchup.ErrFenced
	}
	p.state.Position = max(p.state.Position, c.Position)
	p.state.Interrupted = !c.Stopped
	failed := make(map[int64]catchup.Failed, len(p.state.Failed)+len(c.Failed))
	for _, f := range slices.Concat(p.state.Failed, c.Failed) {
		failed[f.Position] = f
	}
	for _, f := range slices.Concat(c.Resolved, c.Exhausted) {
		delete(failed, f.Position)
	}
	p.state.Failed = make([]catchup.Failed, 0, len(failed))
	for _, f := range failed {
		p.state.Failed = append(p.state.Failed, f)
	}
	slices.SortFunc(p.state.Failed, func(a, b catchup.Failed) int { return cmp.Compare(a.Position, b.Position) })
	return nil
}
