package consumergroup

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
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
	entries map[string]*taskState
	entered uint64
	handled []string // to be acknowledged, in the order in which they came
}

// taskState is a task and what the broker has of it.
type taskState struct {
	task  subscription.Task // of which Recorded is written and read under the lock
	order uint64
	// triedAt is when its dead letter was first written without an answer; zero
	// where that was never so.
	triedAt time.Time
}

func newInflight() *inflight {
	return &inflight{entries: make(map[string]*taskState)}
}

// enter adds what was got and returns the tasks made of it; what is known
// already is left out. onRecord is how many attempts beyond those made the
// broker has on record: one for what a read delivered, none for what another
// process released.
func (f *inflight) enter(got []message.Delivery, onRecord int) []*subscription.Task {
	if len(got) == 0 {
		return nil
	}
	// A message that waits for an hour keeps those of its chunk in memory.
	const chunk = 8
	var backing []taskState
	tasks := make([]*subscription.Task, 0, len(got))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range got {
		if _, known := f.entries[d.ID]; known {
			continue
		}
		if len(backing) == 0 {
			backing = make([]taskState, min(chunk, len(got)-i))
		}
		e := &backing[0]
		backing = backing[1:]
		f.entered++
		e.order = f.entered
		e.task.Delivery, e.task.Attempts, e.task.Recorded = d, d.Attempts, d.Attempts
		if d.Attempts == 0 {
			e.task.Recorded = 1 // as a read leaves it
		} else if d.Attempts < math.MaxInt { // which is a mark, not a count
			e.task.Recorded += onRecord
		}
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

// acknowledge calls send with all that waits for acknowledgement; send reports
// whether it was acknowledged. What was leaves the table, the rest is kept.
func (f *inflight) acknowledge(send func(ids []string) (acked bool, err error)) error {
	f.exchange.RLock()
	defer f.exchange.RUnlock()
	f.mu.Lock()
	ids := f.handled
	f.handled = nil
	f.mu.Unlock()
	acked, err := send(ids)
	if acked {
		f.remove(ids)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handled = append(ids, f.handled...)
	return err
}

// removeLost takes entries out of the table that are lost, and returns their
// tasks.
func (f *inflight) removeLost(ids []string) []*subscription.Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tasks []*subscription.Task
	for _, id := range ids {
		if e := f.entries[id]; e != nil {
			delete(f.entries, id)
			e.task.MarkLost()
			tasks = append(tasks, &e.task)
		}
	}
	return tasks
}

// remove takes entries out of the table.
func (f *inflight) remove(ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.entries, id)
	}
}

// noteTried notes when a dead letter was written without an answer; the first
// time stands. The zero time takes the note away.
func (f *inflight) noteTried(ids []string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if e := f.entries[id]; e != nil && (e.triedAt.IsZero() || at.IsZero()) {
			e.triedAt = at
		}
	}
}

// forgetTried takes all these notes away: in a group that was made again every
// entry is claimed back, and a second dead letter is better than none.
func (f *inflight) forgetTried() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		e.triedAt = time.Time{}
	}
}

// setTriedAt fills in when the dead letters were first written without an answer.
func (f *inflight) setTriedAt(entries []deadletter.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range entries {
		if e := f.entries[entries[i].ID]; e != nil {
			entries[i].TriedAt = e.triedAt
		}
	}
}

// tried are the tasks whose dead letter may have been written.
func (f *inflight) tried() []*subscription.Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tasks []*subscription.Task
	for _, e := range f.entries {
		if !e.triedAt.IsZero() {
			tasks = append(tasks, &e.task)
		}
	}
	return tasks
}

// recordAttempts notes that the coming attempts are on record.
func (f *inflight) recordAttempts(tasks []*subscription.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range tasks {
		t.Recorded = t.Attempts + 1
	}
}

// unfinished are the entries that are worked on, in the order in which they were
// got: without those to be acknowledged, and without those whose call runs beyond
// its time-out, which another may take over.
func (f *inflight) unfinished() []Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	skip := make(map[string]bool, len(f.handled))
	for _, id := range f.handled {
		skip[id] = true
	}
	kept := make([]*taskState, 0, len(f.entries))
	for id, e := range f.entries {
		if !skip[id] && !e.task.Overdue() {
			kept = append(kept, e)
		}
	}
	slices.SortFunc(kept, func(a, b *taskState) int { return cmp.Compare(a.order, b.order) })
	entries := make([]Entry, len(kept))
	for i, e := range kept {
		entries[i] = Entry{ID: e.task.Delivery.ID, Attempts: e.task.Recorded, MayBeSettled: !e.triedAt.IsZero()}
	}
	return entries
}

// lowest is the lowest id in the table.
func (f *inflight) lowest() (lowest message.EntryID, some bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.entries {
		if parsed, err := message.ParseEntryID(id); err == nil && (!some || parsed.Compare(lowest) < 0) {
			lowest, some = parsed, true
		}
	}
	return lowest, some
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
