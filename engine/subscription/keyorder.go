package subscription

import "strings"

// keyOrder keeps the order of messages with the same key: while a task holds a
// key, later tasks of the key queue behind it. The tasks without a key have no
// order.
type keyOrder map[string]*keyQueue

// keyQueue are the tasks behind the one that holds the key. The first of them
// may follow it in its run.
type keyQueue struct {
	tasks []*Task
	head  int
}

// claim takes the task's key for it. It reports false, and queues the task,
// where another task holds the key.
func (k keyOrder) claim(t *Task) bool {
	if k.queueBehind(t) {
		return false
	}
	if t.key != "" && !t.holds {
		k[t.key] = nil
		t.holds = true
	}
	return true
}

// queueBehind queues the task where another task holds its key, and says so.
func (k keyOrder) queueBehind(t *Task) bool {
	if t.key == "" || t.holds {
		return false
	}
	q, held := k[t.key]
	if !held {
		return false
	}
	if q == nil {
		q = &keyQueue{}
		k[t.key] = q
	}
	q.tasks = append(q.tasks, t)
	return true
}

// followers are up to n tasks behind t that may be called in t's run.
func (k keyOrder) followers(t *Task, n int) []*Task {
	q := k[t.key]
	if !t.holds || q == nil {
		return nil
	}
	end := min(q.head+n, len(q.tasks))
	for i, f := range q.tasks[q.head:end] {
		if f.follows || f.lost || f.stage != toCall || f.Recorded < f.Attempts+1 || f.unloaded {
			end = q.head + i
			break
		}
		f.follows = true
	}
	return q.tasks[q.head:end]
}

// queued are the tasks behind t.
func (k keyOrder) queued(t *Task) []*Task {
	if q := k[t.key]; t.holds && q != nil {
		return q.tasks[q.head:]
	}
	return nil
}

// next passes the key on to the task behind t and returns that one; nil where
// there is none, and the key is free.
func (k keyOrder) next(t *Task) *Task {
	if !t.holds {
		return nil
	}
	t.holds = false
	q := k[t.key]
	if q == nil || q.head == len(q.tasks) {
		delete(k, t.key)
		return nil
	}
	f := q.tasks[q.head]
	q.tasks[q.head] = nil
	if q.head++; q.head > 64 && q.head > len(q.tasks)/2 {
		q.tasks = append(q.tasks[:0], q.tasks[q.head:]...)
		q.head = 0
	}
	f.holds = true
	return f
}

// free frees the key and returns all the tasks behind t.
func (k keyOrder) free(t *Task) []*Task {
	if !t.holds {
		return nil
	}
	t.holds = false
	q := k[t.key]
	delete(k, t.key)
	if q == nil {
		return nil
	}
	return q.tasks[q.head:]
}

// detach replaces the text of a key that t holds by a copy: it may share the
// memory of a body that is no longer wanted.
func (k keyOrder) detach(t *Task) {
	q, held := k[t.key]
	if !t.holds || !held {
		t.key = strings.Clone(t.key)
		return
	}
	delete(k, t.key)
	t.key = strings.Clone(t.key)
	k[t.key] = q
}
