package catchup_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/subscription"
)

// process is one engine of the model, as the dispatcher would drive its source.
type process struct {
	source subscription.Source
	tasks  []*subscription.Task
	lost   chan []*subscription.Task
	end    context.CancelFunc
	ended  chan struct{}
}

// model is several processes on one subscription.
type model struct {
	t       *testing.T
	random  *rand.Rand
	store   *memorystore.Store
	handled map[int64]int
	all     [3]*process
	owner   *process
}

// However processes start, stop, end, and are suspended while others take over, the
// position never passes a message that is neither handled nor on record as
// failed, and in the end all are handled.
func TestNoMessageIsPassedHoweverOwnersChange(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{t: t, random: rand.New(rand.NewPCG(seed, 1)), store: memorystore.New(), handled: map[int64]int{}}
			for range 150 {
				m.step()
				synctest.Wait()
				m.check()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			m.drain()
		})
	}
}

func (m *model) step() {
	i := m.random.IntN(len(m.all))
	p := m.all[i]
	switch choice := m.random.IntN(20); {
	case choice < 3:
		appendEvents(m.t, m.store, 1+m.random.IntN(5))
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
	for position := range state.Position {
		if m.handled[position+1] == 0 && !failed[position+1] {
			m.t.Errorf("position %d is saved, and %d was neither handled nor written down as failed", state.Position, position+1)
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
