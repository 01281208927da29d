package subscription

import "container/heap"

// lanes keep the order of messages with the same key: while a key is held, its
// later tasks queue behind it.
type lanes map[string][]*task

// hold takes the task's key for it. It reports false, and queues the task, if
// another task holds the key.
func (l lanes) hold(t *task) bool {
	if t.key == "" || t.holds {
		return true
	}
	if queue, held := l[t.key]; held {
		l[t.key] = append(queue, t)
		return false
	}
	l[t.key] = nil
	t.holds = true
	return true
}

// blocked queues the task if another holds its key, and says so.
func (l lanes) blocked(t *task) bool {
	if t.key == "" || t.holds {
		return false
	}
	queue, held := l[t.key]
	if held {
		l[t.key] = append(queue, t)
	}
	return held
}

// release gives the key back and returns the tasks that queued for it.
func (l lanes) release(t *task) []*task {
	if !t.holds {
		return nil
	}
	t.holds = false
	queue := l[t.key]
	delete(l, t.key)
	return queue
}

// waitlist are tasks by the time they are due.
type waitlist []*task

func (w waitlist) Len() int           { return len(w) }
func (w waitlist) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waitlist) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waitlist) Push(x any)        { *w = append(*w, x.(*task)) }
func (w *waitlist) Pop() any {
	old := *w
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return t
}

func (w *waitlist) add(t *task) { heap.Push(w, t) }
func (w *waitlist) next() *task { return heap.Pop(w).(*task) }
func (w waitlist) first() *task { return w[0] }
