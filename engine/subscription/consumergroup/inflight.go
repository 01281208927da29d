package consumergroup

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// inflight is the table of the entries that are pending for this consumer and
// known to this process. Its methods may be called side by side.
type inflight struct {
	// exchange is held for reading while entries are settled on both sides, and
	// for writing while the broker's side is listed or renewed and compared with
	// the table: an entry settled meanwhile would be taken for a missing or a
	// lost one.
	exchange sync.RWMutex

	mu      sync.Mutex
	entries map[string]*entry
	entered uint64
	handled []string // to be acknowledged, in the order in which they came
	// unsure are entries whose dead letter may have been written: the reply was
	// lost.
	unsure map[string]bool
}

// entry is a task and what the broker has of it.
type entry struct {
	task     subscription.Task
	order    uint64
	recorded int // the attempts on record
}

func newInflight() *inflight {
	return &inflight{entries: make(map[string]*entry), unsure: make(map[string]bool)}
}

// enter adds what was got and returns the tasks made of it; what is known
// already is left out. onRecord is how many attempts beyond those made the
// broker has on record: one for what a read delivered, none for what another
// process released.
func (f *inflight) enter(got []message.Delivery, onRecord int) []*subscription.Task {
	if len(got) == 0 {
		return nil
	}
	backing := make([]entry, len(got))
	tasks := make([]*subscription.Task, 0, len(got))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range got {
		if _, known := f.entries[d.ID]; known {
			continue
		}
		f.entered++
		e := &backing[i]
		e.order, e.recorded = f.entered, d.Attempts
		if d.Attempts == 0 {
			e.recorded = 1 // as a read leaves it
		} else if d.Attempts < math.MaxInt { // which is a mark, not a count
			e.recorded += onRecord
		}
		e.task.Delivery, e.task.Attempts, e.task.Recorded = d, d.Attempts, e.recorded
		f.entries[d.ID] = e
		tasks = append(tasks, &e.task)
	}
	return tasks
}

// has reports whether an entry is in the table.
func (f *inflight) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.entries[id] != nil
}

// size is how many entries are in the table.
func (f *inflight) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.entries)
}

// addHandled takes entries whose acknowledgement is all that is missing.
func (f *inflight) addHandled(tasks []*subscription.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range tasks {
		f.handled = append(f.handled, t.Delivery.ID)
	}
}

// hasHandled reports whether there is something to acknowledge.
func (f *inflight) hasHandled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.handled) > 0
}

func (f *inflight) takeHandled() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.handled
	f.handled = nil
	return ids
}

func (f *inflight) putBackHandled(ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handled = append(ids, f.handled...)
}

// remove takes entries out of the table that are lost, and returns their tasks.
func (f *inflight) remove(ids []string) []*subscription.Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tasks []*subscription.Task
	for _, id := range ids {
		if e := f.entries[id]; e != nil {
			delete(f.entries, id)
			delete(f.unsure, id)
			e.task.MarkLost()
			tasks = append(tasks, &e.task)
		}
	}
	return tasks
}

// strike takes entries out of the table.
func (f *inflight) strike(ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.entries, id)
	}
	if len(f.unsure) > 0 {
		for _, id := range ids {
			delete(f.unsure, id)
		}
	}
}

// setUnsure marks entries whose dead letter may have been written, or takes the
// mark away.
func (f *inflight) setUnsure(ids []string, unsure bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if unsure {
			f.unsure[id] = true
		} else {
			delete(f.unsure, id)
		}
	}
}

// forgetUnsure takes all marks away: in a group that was made again nothing shows
// whether a dead letter was written, and a second one is better than none.
func (f *inflight) forgetUnsure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.unsure)
}

// areUnsure are those of the entries whose dead letter may have been written.
func (f *inflight) areUnsure(ids []string) map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := make(map[string]bool)
	for _, id := range ids {
		if f.unsure[id] {
			found[id] = true
		}
	}
	return found
}

// record notes the attempts that the broker has on record now.
func (f *inflight) record(entries []Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range entries {
		if e := f.entries[r.ID]; e != nil {
			e.recorded = r.Attempts
		}
	}
}

// unfinished are the entries that are worked on, in the order in which they were
// got: without those to be acknowledged, and those whose dead letter may have
// been written, since neither may be claimed back; and without those whose call
// runs beyond its time-out, which another may take over.
func (f *inflight) unfinished() []Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	skip := make(map[string]bool, len(f.handled))
	for _, id := range f.handled {
		skip[id] = true
	}
	kept := make([]*entry, 0, len(f.entries))
	for id, e := range f.entries {
		if !skip[id] && !f.unsure[id] && !e.task.Overdue() {
			kept = append(kept, e)
		}
	}
	slices.SortFunc(kept, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	entries := make([]Entry, len(kept))
	for i, e := range kept {
		entries[i] = Entry{ID: e.task.Delivery.ID, Attempts: e.recorded}
	}
	return entries
}

// all are the tasks of the whole table.
func (f *inflight) all() []*subscription.Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	tasks := make([]*subscription.Task, 0, len(f.entries))
	for _, e := range f.entries {
		tasks = append(tasks, &e.task)
	}
	return tasks
}
