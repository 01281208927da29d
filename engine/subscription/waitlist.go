package subscription

import (
	"container/heap"
	"slices"
)

// waitlist are tasks by the time at which they go on.
type waitlist []*Task

func (w waitlist) Len() int           { return len(w) }
func (w waitlist) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waitlist) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waitlist) Push(x any)        { *w = append(*w, x.(*Task)) }
func (w *waitlist) Pop() any {
	old := *w
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return t
}

func (w *waitlist) add(t *Task) { heap.Push(w, t) }
func (w *waitlist) next() *Task { return heap.Pop(w).(*Task) }
func (w waitlist) first() *Task { return w[0] }

// remove takes out the tasks that match.
func (w *waitlist) remove(match func(*Task) bool) (removed []*Task) {
	*w = slices.DeleteFunc(*w, func(t *Task) bool {
		if match(t) {
			removed = append(removed, t)
			return true
		}
		return false
	})
	heap.Init(w)
	return removed
}
