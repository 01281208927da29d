package subscription

import (
	"context"
	"log/slog"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/retry"
)

// step is what tasks need of the source before they can go on. It is done beside
// the dispatcher, one batch at a time.
type step struct {
	// do runs beside the dispatcher; while it does, the batch is its own.
	do func(ctx context.Context, batch []*Task) result
	// then takes a task for which it worked, and again one for which it failed.
	then, again func(*Task)
	// fails and works are what the log says when it begins to fail, and when it
	// works again.
	fails, works string

	tasks   []*Task // for the next batches
	busy    bool    // a batch is under way
	failing bool
}

// result is what came of a batch. A lost task may be in either of the others. err is
// why the last of those that failed did.
type result struct {
	step                 *step
	worked, failed, lost []*Task
	err                  error
}

// resultOf is the result of a call that works or fails for all of its tasks.
func resultOf(batch, lost []*Task, err error) result {
	if err != nil {
		return result{failed: batch, lost: lost, err: err}
	}
	return result{worked: batch, lost: lost}
}

// initSteps sets up what the dispatcher does beside itself.
func (d *dispatcher) initSteps() {
	d.recording = step{
		do: d.recordAttempts, then: d.callable, again: func(t *Task) { d.wait(t, max(d.cfg.Retry.Delay, time.Second)) },
		fails: "cannot record attempts; what failed waits until it works", works: "recording attempts again",
	}
	d.reloading = step{
		do: d.reloadBodies, then: d.reloaded, again: func(t *Task) { d.wait(t, time.Second) },
		fails: "cannot read the bodies of waiting messages again; they wait until it works", works: "reading bodies again",
	}
	d.givingUp = step{
		do: d.writeDeadLetters, then: d.gaveUp, again: d.giveUpAgain,
		fails: "cannot write dead letters; each holds up the later messages of its own key until it works",
		works: "dead letters are written again",
	}
}

// begin does the step for the first n of its tasks, unless a batch of it is under
// way.
func (d *dispatcher) begin(s *step, n int) {
	if s.busy || n == 0 {
		return
	}
	batch := s.tasks[:n:n]
	s.tasks, s.busy = s.tasks[n:], true
	d.background.Go(func() {
		r := s.do(d.settling, batch)
		r.step = s
		select {
		case d.results <- r:
		case <-d.over:
		}
	})
}

// end takes what came of a batch.
func (d *dispatcher) end(r result) {
	s := r.step
	s.busy = false
	d.lose(r.lost)
	for _, t := range r.worked {
		if t.lost {
			d.drop(t)
		} else {
			s.then(t)
		}
	}
	for _, t := range r.failed {
		if t.lost {
			d.drop(t)
		} else {
			s.again(t)
		}
	}
	d.flushDone()
	if s == &d.reloading {
		d.reloadSize.observe(r.worked, r.err)
	}
	was := s.failing
	s.failing = r.err != nil || s == &d.givingUp && d.unwritten > 0
	switch {
	case s.failing && !was:
		d.log.Error(s.fails, "error", r.err) //nolint:sloglint // a constant of initSteps
	case was && !s.failing:
		d.log.Info(s.works) //nolint:sloglint // a constant of initSteps
	}
}

// recordAttempts puts coming attempts on record before they are made: one that
// ends the process must count.
func (d *dispatcher) recordAttempts(ctx context.Context, batch []*Task) result {
	lost, err := d.source.Attempt(ctx, batch)
	return resultOf(batch, lost, err)
}

// callable puts a task at the head of those to be called.
func (d *dispatcher) callable(t *Task) {
	d.first = append(d.first, t)
}

// reloadable is how many of the tasks whose bodies are to be read again the next
// batch has: what the budget has room for and the link took in time, and one at
// least.
func (d *dispatcher) reloadable() int {
	n, _ := d.reloadSize.next(d.share.left(), true)
	return min(n, len(d.reloading.tasks))
}

func (d *dispatcher) reloadBodies(ctx context.Context, batch []*Task) result {
	err := d.source.(Reloader).Reload(ctx, batch)
	return resultOf(batch, nil, err)
}

func (d *dispatcher) reloaded(t *Task) {
	t.load(d.share)
	t.call = new(callContext)
	if t.Delivery.Gone() {
		d.ghost(t)
	} else if err := t.decodeAgain(&d.cfg); err != nil {
		d.giveUp(t, deadletter.Undecodable, err)
	} else {
		d.first = append(d.first, t)
	}
}

// writeDeadLetters gives tasks up. Those that failed before are written one by
// one, so that one that cannot be written holds up no other.
func (d *dispatcher) writeDeadLetters(ctx context.Context, batch []*Task) (r result) {
	write := func(tasks []*Task) {
		lost, err := d.source.GiveUp(ctx, tasks)
		one := resultOf(tasks, lost, err)
		r.worked, r.failed = append(r.worked, one.worked...), append(r.failed, one.failed...)
		if r.lost = append(r.lost, lost...); err != nil {
			r.err = err
		}
	}
	var repeated []*Task
	fresh := make([]*Task, 0, len(batch))
	for _, t := range batch {
		if t.giveUps == 0 {
			fresh = append(fresh, t)
		} else {
			repeated = append(repeated, t)
		}
	}
	if len(fresh) > 0 {
		write(fresh)
	}
	for i, t := range repeated {
		if isTimeout(r.err) || d.stopping.Load() { // each of the others would wait as long
			r.failed = append(r.failed, repeated[i:]...)
			break
		}
		write([]*Task{t})
	}
	return r
}

func (d *dispatcher) gaveUp(t *Task) {
	if t.giveUps > 0 {
		d.unwritten--
	}
	if d.cfg.DeadLetters {
		d.counting.deadLetter(t.Reason)
		d.events.write(slog.LevelError, "dead-lettered", d.of(t), "attempts", t.Attempts, "reason", t.Err)
	} else {
		d.events.write(slog.LevelError, "message given up; no dead letter is kept of it", d.of(t), "attempts", t.Attempts, "reason", t.Err)
	}
	d.free(t)
}

// giveUpAgain has the task wait until its dead letter is tried again. At a stop
// it is given back instead.
func (d *dispatcher) giveUpAgain(t *Task) {
	if d.stopping.Load() {
		return
	}
	if t.giveUps++; t.giveUps == 1 {
		d.unwritten++
	}
	var backoff retry.Backoff
	for range min(t.giveUps, 10) {
		backoff.Next()
	}
	d.wait(t, backoff.Next())
}
