package subscription

import (
	"sync"

	"github.com/observatory-go/observatory/engine/message"
)

// ledger is the in-flight table: every entry that is pending for this consumer
// and known to this process. It is kept equal to the broker's pending list:
// what is settled there is struck here under the same lock, so that a listing
// of the broker's side never takes a settled entry for a forgotten one.
type ledger struct {
	// settling is held for reading while something is settled on both sides,
	// and for writing while the broker's side is listed and compared.
	settling sync.RWMutex

	mu    sync.Mutex
	tasks map[string]*task
}

func newLedger() *ledger { return &ledger{tasks: make(map[string]*task)} }

// enter adds what a read returned, and returns the tasks made of it.
// Deliveries that are known already are left out.
func (l *ledger) enter(got []message.Delivery, recorded func(message.Delivery) int) []*task {
	if len(got) == 0 {
		return nil
	}
	backing := make([]task, len(got))
	tasks := make([]*task, 0, len(got))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, d := range got {
		if _, known := l.tasks[d.ID]; known {
			continue
		}
		t := &backing[i]
		t.delivery, t.calls, t.recorded = d, d.Attempts, recorded(d)
		l.tasks[d.ID] = t
		tasks = append(tasks, t)
	}
	return tasks
}

// settle runs fn, which ends entries at the broker, and strikes the ids that
// it returns.
func (l *ledger) settle(fn func() (ids []string, err error)) error {
	l.settling.RLock()
	defer l.settling.RUnlock()
	ids, err := fn()
	l.strike(ids)
	return err
}

// compare runs fn, which lists the broker's side, while nothing is settled.
func (l *ledger) compare(fn func() error) error {
	l.settling.Lock()
	defer l.settling.Unlock()
	return fn()
}

func (l *ledger) strike(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.tasks, id)
	}
}

// rest returns the tasks that are still held.
func (l *ledger) rest() []*task {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := make([]*task, 0, len(l.tasks))
	for _, t := range l.tasks {
		tasks = append(tasks, t)
	}
	return tasks
}
