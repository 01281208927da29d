package catchup_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/modeltest"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

// process is one engine of the model, as the dispatcher would drive its source.
type process struct {
	source subscription.Source
	tasks  []*subscription.Task
	lost   chan []*subscription.Task
	end    context.CancelFunc
	ended  chan struct{}
}

// modelStore is a store whose ownerships a test can end.
type modelStore interface {
	catchup.Store
	Expire(subscription, category string)
}

// model is several processes on one subscription.
type model struct {
	random  *rand.Rand
	log     *memorystore.Store
	store   modelStore
	handled map[int64]int
	all     [3]*process
	owner   *process
	highest int64 // of the saved positions
	trace   []string
	broken  []string
	t       *testing.T
}

// play runs a model for some steps, and returns it; nil at once where an
// invariant is broken.
func play(t *testing.T, seed uint64, over func(*memorystore.Store) modelStore) *model {
	var m *model
	synctest.Test(t, func(t *testing.T) {
		log := memorystore.New()
		m = &model{t: t, random: rand.New(rand.NewPCG(seed, 1)), log: log, store: over(log), handled: map[int64]int{}}
		for range 150 {
			m.step()
			synctest.Wait()
			m.check()
			if len(m.broken) > 0 {
				break
			}
		}
		if len(m.broken) == 0 {
			m.drain()
			return
		}
		for _, p := range m.all {
			if p != nil {
				p.stop()
			}
		}
	})
	return m
}

// However processes start, stop, end, and are suspended while others take over, the
// position never passes a message that is neither handled nor on record as
// failed, and in the end all are handled.
func TestNoMessageIsPassedHoweverOwnersChange(t *testing.T) {
	modeltest.Run(t, 150, func(t *testing.T, seed uint64) {
		require.Empty(t, play(t, seed, inMemory).broken)
		require.Empty(t, play(t, seed, fencedByVersion(true)).broken)
	})
}

func inMemory(s *memorystore.Store) modelStore { return s }

// The model finds what it is there for: without the fence a former owner writes over
// the position of the one after it.
func TestTheModelFailsWithoutTheFence(t *testing.T) {
	for seed := range uint64(300) {
		if m := play(t, seed, fencedByVersion(false)); len(m.broken) > 0 {
			require.Contains(t, m.broken[0], "position went back")
			return
		}
	}
	t.Fatal("no seed shows it")
}

func TestASeedOfTheModelGivesOneTrace(t *testing.T) {
	for seed := range uint64(20) {
		first, second := play(t, seed, inMemory), play(t, seed, inMemory)
		require.Equal(t, first.trace, second.trace, "seed %d", seed)
	}
}

// versioned is a store in memory whose positions are as Message-DB keeps them: the
// last one written holds, an ownership that expired is not told so, and what a
// former owner writes is refused by its version, or by nothing.
type versioned struct {
	*memorystore.Store
	fence   bool
	mu      sync.Mutex
	state   catchup.State
	version int
	owned   bool
}

func fencedByVersion(fence bool) func(*memorystore.Store) modelStore {
	return func(s *memorystore.Store) modelStore { return &versioned{Store: s, fence: fence} }
}

type versionedOwner struct {
	store   *versioned
	state   catchup.State
	version int
}

func (v *versioned) Own(context.Context, string, string) (catchup.Ownership, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owned {
		return nil, catchup.ErrOwned
	}
	v.owned = true
	v.version++
	o := &versionedOwner{store: v, state: v.copied(), version: v.version}
	v.state.Interrupted = true
	return o, nil
}

func (v *versioned) copied() catchup.State {
	state := v.state
	state.Failed = slices.Clone(state.Failed)
	return state
}

func (v *versioned) Expire(string, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.owned = false
}

func (v *versioned) LoadPosition(context.Context, string, string) (catchup.State, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.copied(), nil
}

func (o *versionedOwner) State() catchup.State   { return o.state }
func (o *versionedOwner) Ended() <-chan struct{} { return nil }

func (o *versionedOwner) Release(context.Context) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	if o.version == o.store.version {
		o.store.owned = false
	}
	return nil
}

func (o *versionedOwner) Save(_ context.Context, c catchup.Change) error {
	v := o.store
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fence && o.version != v.version {
		return catchup.ErrFenced
	}
	o.state.Position = max(o.state.Position, c.Position)
	v.state.Position, v.state.Interrupted = o.state.Position, !c.Stopped
	failed := map[int64]catchup.Failed{}
	for _, f := range slices.Concat(v.state.Failed, c.Failed) {
		failed[f.Position] = f
	}
	for _, f := range slices.Concat(c.Resolved, c.Exhausted) {
		delete(failed, f.Position)
	}
	v.state.Failed = slices.SortedFunc(maps.Values(failed), func(a, b catchup.Failed) int { return cmp.Compare(a.Position, b.Position) })
	return nil
}

func (m *model) step() {
	i := m.random.IntN(len(m.all))
	p := m.all[i]
	switch choice := m.random.IntN(20); {
	case choice < 3:
		appendEvents(m.t, m.log, 1+m.random.IntN(5))
	case p == nil:
		m.all[i] = m.start()
	case choice < 9:
		m.next(p)
	case choice < 15:
		m.call(p)
	case choice < 16:
		time.Sleep(time.Duration(m.random.IntN(1500)) * time.Millisecond)
	case choice < 17: // suspended: another may take over, and it goes on
		if m.owner == p {
			m.store.Expire(cfg.Handler, cfg.Stream)
			m.owner = nil
		}
	case choice < 18: // ends
		if m.owner == p {
			m.store.Expire(cfg.Handler, cfg.Stream)
			m.owner = nil
		}
		p.stop()
		m.all[i] = nil
	case choice < 19:
		m.close(p)
		m.all[i] = nil
	}
}

func (m *model) start() *process {
	ctx, end := context.WithCancel(m.t.Context())
	p := &process{source: open(m.store), lost: make(chan []*subscription.Task, 100), end: end, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.source.Upkeep(ctx, p.lost)
	}()
	return p
}

func (p *process) stop() {
	p.end()
	<-p.ended
}

func (m *model) close(p *process) {
	p.stop()
	if err := p.source.Close(m.t.Context()); err != nil {
		m.t.Error(err)
	}
	if m.owner == p {
		m.owner = nil
	}
}

func (m *model) next(p *process) {
	tasks, err := p.source.Next(m.t.Context(), 1+m.random.IntN(4))
	if errors.Is(err, subscription.ErrStandby) {
		return
	}
	if err != nil {
		m.t.Error(err)
	}
	p.tasks = append(p.tasks, tasks...)
	if _, err := m.store.Own(m.t.Context(), cfg.Handler, cfg.Stream); err != nil { // it is owned: by this one
		m.owner = p
	} else {
		m.store.Expire(cfg.Handler, cfg.Stream)
	}
}

// call has a handler called for one of the tasks that a process has.
func (m *model) call(p *process) {
	if len(p.tasks) == 0 {
		return
	}
	i := m.random.IntN(len(p.tasks))
	task := p.tasks[i]
	one := []*subscription.Task{task}
	if task.IsLost() {
		p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
		return
	}
	if task.Recorded < task.Attempts+1 {
		lost, err := p.source.Attempt(m.t.Context(), one)
		if err != nil {
			m.t.Error(err)
		}
		if len(lost) > 0 {
			p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
			return
		}
	}
	if m.random.IntN(4) == 0 {
		task.Attempts++
		return
	}
	m.handled[task.Delivery.Position]++
	p.source.Done(one)
	p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
}

func (m *model) check() {
	state, err := m.store.LoadPosition(m.t.Context(), cfg.Handler, cfg.Stream)
	if err != nil {
		m.t.Error(err)
	}
	failed := map[int64]bool{}
	for _, f := range state.Failed {
		failed[f.Position] = true
	}
	if state.Position < m.highest {
		m.broken = append(m.broken, fmt.Sprintf("the position went back from %d to %d", m.highest, state.Position))
	}
	m.highest = state.Position
	m.trace = append(m.trace, fmt.Sprint(state, len(m.handled)))
	for position := range state.Position {
		if m.handled[position+1] == 0 && !failed[position+1] {
			m.broken = append(m.broken, fmt.Sprintf("position %d is saved, and %d was neither handled nor written down as failed", state.Position, position+1))
		}
	}
}

// drain has one process handle what is left.
func (m *model) drain() {
	for _, p := range m.all {
		if p != nil {
			m.close(p)
		}
	}
	m.store.Expire(cfg.Handler, cfg.Stream)
	last := m.start()
	for range 1000 {
		m.next(last)
		for len(last.tasks) > 0 {
			m.call(last)
		}
	}
	m.close(last)
	messages, err := m.store.ReadCategory(m.t.Context(), cfg.Stream, 0, 1<<20)
	require.NoError(m.t, err)
	require.Len(m.t, m.handled, len(messages))
	state, err := m.store.LoadPosition(m.t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(m.t, err)
	require.Empty(m.t, state.Failed)
	require.EqualValues(m.t, len(messages), state.Position)
}
