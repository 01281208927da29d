package consumergroup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/modeltest"
	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// However processes start, stop, are killed and are suspended, beside a Python consumer
// whose calls are shorter than claim_idle_seconds: nothing is lost, nothing is taken from
// who lives, and no message is given up but those that end processes.
func TestWhoeverDiesNothingIsLostAndNothingIsTakenFromTheLiving(t *testing.T) {
	modeltest.Run(t, 300, func(t *testing.T, seed uint64) {
		m := runModel(t, seed, mutant{})
		require.Empty(t, m.wrong, strings.Join(m.trace, "\n"))
	})
}

func TestTheSameSeedIsTheSameHistoryOfTakeovers(t *testing.T) {
	for seed := range uint64(10) {
		first := runModel(t, seed, mutant{}).trace
		require.Equal(t, first, runModel(t, seed, mutant{}).trace, "seed %d", seed)
	}
}

// What the model is worth: without one of its parts the protocol fails in it.
func TestTheModelOfTakeoversFindsWhatIsLeftOut(t *testing.T) {
	for name, without := range map[string]mutant{
		"renewal":                      {noRenewal: true},
		"whether a consumer was seen":  {noIdle: true},
		"whether its list has changed": {noPending: true},
		"one entry at a time":          {noReturn: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(300) {
				if len(runModel(t, seed, without).wrong) > 0 {
					return
				}
			}
			t.Error("no seed finds it")
		})
	}
}

// mutant is a part of the protocol that is left out.
type mutant struct{ noRenewal, noIdle, noPending, noReturn bool }

const (
	modelIdle     = 6 * time.Second
	modelAttempts = 3
)

// model is a group and its consumers.
type model struct {
	broker  *memorybroker.Broker
	mutant  mutant
	random  *rand.Rand
	began   time.Time
	trace   []string
	wrong   []string
	names   int
	all     [3]*process
	python  *python
	poison  map[string]bool // entries that end each process which calls them
	cut     map[string]int  // calls that did not end, and reads without a call
	deaths  map[string]int  // of processes, over these entries
	handled map[string]int
	dead    map[string]int
}

// python is a Python consumer that works through a batch. It shows life by its
// acknowledgements alone.
type python struct {
	consumergroup.Membership
	name string
	left []string  // what it has not handled; none once it is dead
	due  time.Time // when its call ends
}

// process is one engine, as the dispatcher would drive its source.
type process struct {
	m       *model
	name    string
	source  subscription.Source
	end     context.CancelFunc
	ended   chan struct{}
	lost    chan []*subscription.Task
	queue   []*subscription.Task
	current *subscription.Task // its call is under way
	loose   map[string]bool    // what it had when it was suspended

	mu        sync.Mutex    // held by the model alone where it writes
	suspended chan struct{} // closed when it goes on; nil while it runs
	killed    bool
}

var errKilled = errors.New("the process is dead")

// Join has the model name the consumer: its own name is random.
func (p *process) Join(ctx context.Context, member consumergroup.Member) (consumergroup.Membership, error) {
	member.Consumer = p.name
	inner, err := p.m.broker.Join(ctx, member)
	if err != nil {
		return nil, err
	}
	return &processMembership{inner, p}, nil
}

// processMembership is a membership whose calls wait while the process is suspended,
// and fail once it is killed. Calls that only a running process makes go through.
type processMembership struct {
	consumergroup.Membership
	p *process
}

func (s *processMembership) wait() error {
	s.p.mu.Lock()
	suspended, killed := s.p.suspended, s.p.killed
	s.p.mu.Unlock()
	if killed {
		return errKilled
	}
	if suspended != nil {
		<-suspended
	}
	return nil
}

func (s *processMembership) Ack(ctx context.Context, ids []string) error {
	if err := s.wait(); err != nil {
		return err
	}
	return s.Membership.Ack(ctx, ids)
}

func (s *processMembership) Renew(ctx context.Context, entries []consumergroup.Entry) ([]string, error) {
	if err := s.wait(); err != nil || s.p.m.mutant.noRenewal {
		return nil, err
	}
	return s.Membership.Renew(ctx, entries)
}

func (s *processMembership) Position(ctx context.Context) (message.EntryID, int, error) {
	if err := s.wait(); err != nil {
		return message.EntryID{}, 0, err
	}
	return s.Membership.Position(ctx)
}

func (s *processMembership) Heartbeat(ctx context.Context) ([]consumergroup.Consumer, error) {
	if err := s.wait(); err != nil {
		return nil, err
	}
	others, err := s.Membership.Heartbeat(ctx)
	for i := range others {
		if s.p.m.mutant.noIdle {
			others[i].Idle = time.Hour
		}
		if s.p.m.mutant.noPending {
			others[i].Pending = 1000
		}
	}
	return others, err
}

func (s *processMembership) TakeOver(ctx context.Context, from consumergroup.Consumer, idle time.Duration) ([]message.Delivery, error) {
	if err := s.wait(); err != nil {
		return nil, err
	}
	if s.p.m.mutant.noIdle {
		idle = 0
	}
	if s.p.m.mutant.noPending {
		others, err := s.Membership.Heartbeat(ctx)
		if err != nil {
			return nil, err
		}
		for _, other := range others {
			if other.Name == from.Name {
				from = other
			}
		}
	}
	return s.Membership.TakeOver(ctx, from, idle)
}

func runModel(t *testing.T, seed uint64, without mutant) (m *model) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m = &model{
			broker: memorybroker.New(), mutant: without, random: rand.New(rand.NewPCG(seed, 8)), began: time.Now(),
			python: &python{}, poison: map[string]bool{}, cut: map[string]int{}, deaths: map[string]int{}, handled: map[string]int{}, dead: map[string]int{},
		}
		m.run(t.Context())
		require.NoError(t, m.broker.Close(context.Background()))
		synctest.Wait()
	})
	return m
}

func (m *model) run(ctx context.Context) {
	var published []string
	for range 120 {
		m.pass(time.Duration(m.random.IntN(400)) * time.Millisecond)
		i := m.random.IntN(len(m.all))
		p := m.all[i]
		switch choice := m.random.IntN(40); {
		case choice < 6:
			for range 1 + m.random.IntN(6) {
				id, err := m.broker.Publish(ctx, "s", message.Field{Name: "data", Value: []byte("{}")})
				m.check(err)
				published = append(published, id)
				m.poison[id] = m.random.IntN(20) == 0
			}
		case choice < 7:
			m.startPython(ctx)
		case p == nil:
			m.all[i] = m.start(ctx)
		case p.suspended != nil:
			if choice < 12 {
				m.resume(p)
			}
		case choice < 20:
			m.next(ctx, p)
		case choice < 32:
			m.call(ctx, p)
		case choice < 34:
			m.suspend(p)
		case choice < 36:
			m.kill(p)
		case choice < 37:
			m.close(ctx, i)
		default:
			m.pass(time.Duration(m.random.IntN(4)) * time.Second)
		}
	}
	m.drain(ctx, published)
	for _, id := range published {
		switch {
		case m.handled[id] == 0 && m.dead[id] == 0:
			m.failf("%s is lost", id)
		case m.dead[id] > 0 && m.cut[id] < modelAttempts:
			m.failf("%s is given up after %d calls that did not end", id, m.cut[id])
		case m.deaths[id] > modelAttempts+1:
			m.failf("%s ended %d processes", id, m.deaths[id])
		}
	}
	for i, p := range m.all {
		if p != nil {
			m.close(ctx, i)
		}
	}
}

// drain goes on without faults, but for messages that end processes, until all that was
// published has ended.
func (m *model) drain(ctx context.Context, published []string) {
	open := func(id string) bool { return m.handled[id] == 0 && m.dead[id] == 0 }
	for range 3000 {
		if !slices.ContainsFunc(published, open) && len(m.python.left) == 0 {
			return
		}
		for i, p := range m.all {
			switch {
			case p == nil:
				m.all[i] = m.start(ctx)
			case p.suspended != nil:
				m.resume(p)
			default:
				for range 4 {
					m.next(ctx, p)
				}
				for range 12 {
					if m.all[i] == p {
						m.call(ctx, p)
					}
				}
			}
		}
		m.pass(100 * time.Millisecond)
	}
}

func (m *model) pass(d time.Duration) {
	until := time.Now().Add(d + time.Microsecond*time.Duration(1+m.random.IntN(900)))
	for py := m.python; len(py.left) > 0 && py.due.Before(until); {
		time.Sleep(time.Until(py.due))
		synctest.Wait()
		m.endCallOf(py)
	}
	time.Sleep(time.Until(until))
	synctest.Wait()
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%v ", time.Since(m.began))+fmt.Sprintf(format, args...))
}

func (m *model) failf(format string, args ...any) {
	m.note("WRONG: "+format, args...)
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

func (m *model) check(err error) {
	if err != nil && !errors.Is(err, errKilled) {
		m.failf("%v", err)
	}
}

func (m *model) start(ctx context.Context) *process {
	m.names++
	p := &process{m: m, name: fmt.Sprintf("p%03d", m.names), loose: map[string]bool{}, ended: make(chan struct{}), lost: make(chan []*subscription.Task, 1000)}
	p.source = consumergroup.Over(p).Open(subscription.Config{
		Handler: "h", Stream: "s", Group: "g", ClaimIdle: modelIdle, DeadLetters: true, Retry: retry.Policy{MaxAttempts: modelAttempts},
	}.WithDefaults(), slog.New(slog.DiscardHandler))
	ctx, p.end = context.WithCancel(ctx)
	go func() {
		defer close(p.ended)
		p.source.Upkeep(ctx, p.lost)
	}()
	m.note("%s starts", p.name)
	return p
}

// has reports whether a process has an entry that is its own for certain.
func (p *process) has(id string) bool {
	is := func(task *subscription.Task) bool { return task.Delivery.ID == id && !task.IsLost() }
	return !p.loose[id] && (slices.ContainsFunc(p.queue, is) || p.current != nil && is(p.current))
}

func (m *model) next(ctx context.Context, p *process) {
	if len(p.queue) > 8 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	tasks, err := p.source.Next(ctx, 1+m.random.IntN(4))
	if !errors.Is(err, context.DeadlineExceeded) {
		m.check(err)
	}
	for _, task := range tasks {
		id := task.Delivery.ID
		m.note("%s gets %s, %d attempts, taken over: %t", p.name, id, task.Attempts, task.TakenOver)
		for _, other := range m.all {
			if other != nil && other != p && other.has(id) {
				m.failf("%s is taken from %s, which lives", id, other.name)
			}
		}
		if slices.Contains(m.python.left, id) {
			m.failf("%s is taken from the Python consumer, which lives", id)
		}
		delete(p.loose, id)
		if task.TakenOver && m.mutant.noReturn {
			task.TakenOver = false
			p.source.(subscription.Follower).Returned(task)
		}
	}
	p.queue = append(p.queue, tasks...)
}

// call ends the call that is under way, or begins the next one, as the dispatcher does.
func (m *model) call(ctx context.Context, p *process) {
	if p.suspended != nil || p.killed {
		return
	}
	if task := p.current; task != nil {
		p.current = nil
		id := task.Delivery.ID
		m.cut[id]--
		m.note("%s ends its call of %s, lost: %t", p.name, id, task.IsLost())
		m.handled[id]++
		if task.IsLost() {
			p.returned(task)
		} else {
			p.source.Done([]*subscription.Task{task})
		}
		return
	}
	if len(p.queue) == 0 {
		return
	}
	task := p.queue[0]
	p.queue = p.queue[1:]
	id, one := task.Delivery.ID, []*subscription.Task{task}
	if task.IsLost() {
		p.returned(task)
		return
	}
	if task.Attempts > modelAttempts {
		p.returned(task)
		task.Err, task.FailedAt = errors.New("poison"), time.Now()
		lost, err := p.source.GiveUp(ctx, one)
		m.check(err)
		if len(lost) == 0 && err == nil {
			m.note("%s gives %s up", p.name, id)
			m.dead[id]++
		}
		return
	}
	if task.Recorded < task.Attempts+1 { // all that is in hand goes on record at once
		record := one
		for _, other := range p.queue {
			if !other.IsLost() && other.Recorded < other.Attempts+1 && other.Attempts <= modelAttempts {
				record = append(record, other)
			}
		}
		_, err := p.source.Attempt(ctx, record)
		m.check(err)
		if task.IsLost() {
			p.returned(task)
			return
		}
	}
	m.note("%s calls %s", p.name, id)
	m.cut[id]++
	p.current = task
	if m.poison[id] {
		m.deaths[id]++
		m.kill(p)
	}
}

func (p *process) returned(task *subscription.Task) {
	if task.TakenOver {
		task.TakenOver = false
		p.source.(subscription.Follower).Returned(task)
	}
}

// suspend stops a process, as SIGSTOP does. What it has others may take over.
func (m *model) suspend(p *process) {
	m.note("%s is suspended", p.name)
	p.mu.Lock()
	p.suspended = make(chan struct{})
	p.mu.Unlock()
	for _, task := range p.queue {
		p.loose[task.Delivery.ID] = true
	}
	if p.current != nil {
		p.loose[p.current.Delivery.ID] = true
	}
}

func (m *model) resume(p *process) {
	m.note("%s goes on", p.name)
	p.mu.Lock()
	close(p.suspended)
	p.suspended = nil
	p.mu.Unlock()
	synctest.Wait()
}

func (m *model) kill(p *process) {
	m.note("%s is killed", p.name)
	for _, task := range p.queue {
		if task.Attempts == 0 {
			m.cut[task.Delivery.ID]++ // a read without a call looks like one
		}
	}
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.stop()
	m.all[slices.Index(m.all[:], p)] = nil
}

func (p *process) stop() {
	p.end()
	<-p.ended
}

// close stops a process in order.
func (m *model) close(ctx context.Context, i int) {
	p := m.all[i]
	m.all[i] = nil
	m.note("%s stops", p.name)
	if p.suspended != nil {
		m.resume(p)
	}
	p.stop()
	if p.current != nil {
		p.current.UnderWay = true
	}
	m.check(p.source.Close(ctx))
}

// startPython has a Python consumer read a batch.
func (m *model) startPython(ctx context.Context) {
	if len(m.python.left) > 0 {
		return
	}
	m.names++
	py := &python{name: fmt.Sprintf("python%03d", m.names)}
	var err error
	py.Membership, err = m.broker.Join(ctx, consumergroup.Member{Stream: "s", Group: "g", Consumer: py.name})
	m.check(err)
	got, _, err := py.Read(ctx, consumergroup.Read{Max: 10})
	m.check(err)
	for _, d := range got {
		py.left = append(py.left, d.ID)
		m.note("%s gets %s", py.name, d.ID)
	}
	m.python = py
	m.beginCallOf(py)
}

func (m *model) beginCallOf(py *python) {
	py.due = time.Now().Add(time.Duration(m.random.Int64N(int64(modelIdle - 2*time.Second))))
}

func (m *model) endCallOf(py *python) {
	id := py.left[0]
	if m.poison[id] || m.random.IntN(15) == 0 {
		m.note("%s dies", py.name)
		for _, id := range py.left {
			m.cut[id]++ // a read without a call looks like one
		}
		if m.poison[id] {
			m.deaths[id]++
		}
		py.left = nil
		return
	}
	m.note("%s has handled %s", py.name, id)
	m.check(py.Ack(context.Background(), []string{id}))
	m.handled[id]++
	py.left = py.left[1:]
	m.beginCallOf(py)
}
