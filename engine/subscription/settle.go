package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/retry"
)

// counts are the outcomes of a batch.
type counts struct{ ok, failed, skipped, retries int64 }

// settle decides what becomes of a task that was called.
func (d *dispatcher) settle(t *Task, counts *counts) {
	d.observeTarget(t)
	switch t.outcome {
	case handler.Done:
		counts.ok++
		d.handled(t)
	case handler.Skipped:
		counts.skipped++
		d.handled(t)
	case handler.Postponed:
		d.wait(t, t.after)
	case handler.Down:
		d.wait(t, time.Until(d.outage.probe))
	case handler.Rejected:
		counts.failed++
		t.Attempts++
		d.giveUp(t, handler.Cause(t.err))
	case handler.Failed:
		counts.failed++
		t.Attempts++
		if crash, ok := errors.AsType[*handler.PanicError](t.err); ok {
			d.log.Error("handler panicked", d.of(t), "panic", fmt.Sprint(crash.Value), "stack", string(crash.Stack))
		}
		delay, again := d.cfg.Retry.Next(t.Attempts)
		if !again {
			d.giveUp(t, handler.Cause(t.err))
			return
		}
		counts.retries++
		d.log.Warn("handler failed; trying again", d.of(t), "attempts", t.Attempts, "in", delay.String(), "error", handler.Cause(t.err))
		d.wait(t, delay)
	}
}

// observeTarget keeps track of whether the target is down. A message that finds
// it down time and again while others are answered is itself what fails.
func (d *dispatcher) observeTarget(t *Task) {
	switch {
	case t.outcome == handler.Skipped: // it was not for the target
	case t.outcome != handler.Down:
		if d.outage.answered(t.started) {
			d.log.Info("target answers again")
			d.countExcuses(t)
		}
	case t.excuses >= maxExcuses:
		t.outcome = handler.Failed
	default:
		t.excuseCounted = false
		if d.outage.failed(t.started, time.Now()) {
			d.log.Error("target is down; holding the subscription up at no cost to its messages", d.of(t), "error", handler.Cause(t.err))
		}
	}
}

// countExcuses notes, once for each call that had found the target down, that
// it now answered another message.
func (d *dispatcher) countExcuses(answered *Task) {
	for _, tasks := range [][]*Task{d.waiting, d.first, d.ready} {
		for _, t := range tasks {
			if t.foundDown() && !t.excuseCounted && t != answered {
				t.excuseCounted = true
				t.excuses++
			}
		}
	}
}

// handled ends a task that was handled, or needs no handling.
func (d *dispatcher) handled(t *Task) {
	d.done = append(d.done, t)
	d.free(t)
}

// flushDone gives the source what was handled.
func (d *dispatcher) flushDone() {
	if len(d.done) > 0 {
		d.source.Done(d.done)
		clear(d.done)
		d.done = d.done[:0]
	}
}

// free ends a task: what queued behind it may go on.
func (d *dispatcher) free(t *Task) {
	t.stage = settled
	t.unload(d.budget)
	t.Delivery.Fields, t.envelope = nil, nil // their memory is shared by all that one read returned
	d.open--
	if d.cfg.Concurrency == 1 {
		d.first = append(d.first, d.keys.free(t)...)
	} else if next := d.keys.next(t); next != nil && !next.follows {
		d.first = append(d.first, next)
	}
}

// ghost ends an entry whose body was deleted or trimmed while it was pending.
func (d *dispatcher) ghost(t *Task) {
	d.instruments.ghost()
	d.log.Warn("entry has no body any more; acknowledging it", d.of(t))
	d.handled(t)
}

// lose marks tasks that are another process's now, and ends their calls. Each is
// dropped where it is met next.
func (d *dispatcher) lose(tasks []*Task) {
	for _, t := range tasks {
		if t.stage == settled {
			continue
		}
		t.lost = true
		if t.call != nil {
			t.call.end(messageLost)
		}
	}
	for _, t := range d.waiting.remove(func(t *Task) bool { return t.lost }) {
		d.drop(t)
	}
}

// drop ends a lost task.
func (d *dispatcher) drop(t *Task) {
	if t.giveUps > 0 {
		d.unwritten--
	}
	d.instruments.lose()
	d.log.Warn("entry is not this consumer's any more: another took it over, or it was acknowledged or removed by hand", d.of(t))
	d.free(t)
}

// wait puts a task aside; its key stays held. Where another task holds the key
// (an older message that was claimed meanwhile) it has its turn after that one.
func (d *dispatcher) wait(t *Task, delay time.Duration) {
	if !d.keys.claim(t) {
		return
	}
	t.due = time.Now().Add(delay)
	if t.stage == toCall && delay >= longWait {
		d.keys.detach(t)
		if d.unloads && d.budget.isShort() {
			t.unload(d.budget)
			t.Delivery.Fields, t.envelope, t.unloaded = nil, nil, true
		} else {
			t.Delivery.Fields = cloneFields(t.Delivery.Fields)
			_ = d.decode(t) // as before
		}
	}
	d.waiting.add(t)
}

// step runs a batch of a background step, if there is one and none is under way.
// do runs in the background and returns what the dispatcher does then.
func (d *dispatcher) step(s *step, do func(ctx context.Context, tasks []*Task) (then func())) {
	if s.busy || len(s.tasks) == 0 {
		return
	}
	tasks := s.tasks
	s.tasks, s.busy = nil, true
	d.inBackground(func(ctx context.Context) func() {
		then := do(ctx, tasks)
		return func() {
			s.busy = false
			then()
		}
	})
}

// noteFailure notes how a step went, and reports whether it begins to fail or
// works again.
func (s *step) noteFailure(err error) (fails, works bool) {
	was := s.failing
	s.failing = err != nil
	return s.failing && !was, was && !s.failing
}

// record puts coming attempts on record before they are made: one that ends the
// process must count.
func (d *dispatcher) record() {
	d.step(&d.recording, func(ctx context.Context, tasks []*Task) func() {
		lost, err := d.source.Attempt(ctx, tasks)
		return func() {
			if fails, works := d.recording.noteFailure(err); fails {
				d.log.Error("cannot record attempts; what failed waits until it works", "error", err)
			} else if works {
				d.log.Info("recording attempts again")
			}
			d.lose(lost)
			for _, t := range tasks {
				switch {
				case t.lost:
					d.drop(t)
				case err != nil:
					d.wait(t, max(d.cfg.Retry.Delay, time.Second))
				default:
					t.Recorded = t.Attempts + 1
					d.first = append(d.first, t)
				}
			}
		}
	})
}

// reload reads the bodies of tasks that are due and whose bodies were dropped.
func (d *dispatcher) reload() {
	d.step(&d.reloading, func(ctx context.Context, tasks []*Task) func() {
		err := d.source.(Reloader).Reload(ctx, tasks)
		return func() {
			if fails, works := d.reloading.noteFailure(err); fails {
				d.log.Error("cannot read the bodies of waiting messages again; they wait until it works", "error", err)
			} else if works {
				d.log.Info("reading bodies again")
			}
			for _, t := range tasks {
				switch {
				case t.lost:
					d.drop(t)
				case err != nil:
					d.wait(t, time.Second)
				case t.Delivery.Gone():
					d.ghost(t)
				default:
					t.load(d.budget)
					t.unloaded = false
					if err := d.decode(t); err != nil {
						d.giveUp(t, err)
						continue
					}
					d.first = append(d.first, t)
				}
			}
			d.flushDone()
		}
	})
}

// giveUp ends a task that cannot be handled. Until the source has written that
// down, as a dead letter where it keeps such, later messages of its key wait.
func (d *dispatcher) giveUp(t *Task, cause error) {
	t.stage, t.Err, t.FailedAt = toGiveUp, cause, time.Now()
	if d.keys.claim(t) {
		d.givingUp.tasks = append(d.givingUp.tasks, t)
	}
}

// writeDeadLetters gives tasks up. Those that failed before are written one by
// one, so that one that cannot be written holds up no other.
func (d *dispatcher) writeDeadLetters() {
	d.step(&d.givingUp, func(ctx context.Context, tasks []*Task) func() {
		var fresh, repeated []*Task
		for _, t := range tasks {
			if t.giveUps == 0 {
				fresh = append(fresh, t)
			} else {
				repeated = append(repeated, t)
			}
		}
		failed := make(map[*Task]error)
		var lost []*Task
		write := func(batch []*Task) error {
			gone, err := d.source.GiveUp(ctx, batch)
			lost = append(lost, gone...)
			for _, t := range batch {
				if err != nil {
					failed[t] = err
				}
			}
			return err
		}
		var err error
		if len(fresh) > 0 {
			err = write(fresh)
		}
		for i, t := range repeated {
			if isTimeout(err) || d.stopping.Load() { // each of the others would wait as long
				for _, t := range repeated[i:] {
					failed[t] = err
				}
				break
			}
			err = write([]*Task{t})
		}
		return func() { d.gaveUp(tasks, lost, failed, err) }
	})
}

// gaveUp files what came of writing dead letters.
func (d *dispatcher) gaveUp(tasks, lost []*Task, failed map[*Task]error, last error) {
	if fails, works := d.givingUp.noteFailure(last); fails {
		d.log.Error("cannot write dead letters; each holds up the later messages of its own key until it works", "error", last)
	} else if works {
		d.log.Info("dead letters are written again")
	}
	d.lose(lost)
	for _, t := range tasks {
		_, again := failed[t]
		switch {
		case t.lost:
			d.drop(t)
		case again && d.stopping.Load():
			// It is given back instead.
		case again:
			if t.giveUps++; t.giveUps == 1 {
				d.unwritten++
			}
			var backoff retry.Backoff
			for range min(t.giveUps, 10) {
				backoff.Next()
			}
			d.wait(t, backoff.Next())
		default:
			if t.giveUps > 0 {
				d.unwritten--
			}
			if d.cfg.DeadLetters {
				d.instruments.deadLetter()
				d.log.Error("dead-lettered", d.of(t), "attempts", t.Attempts, "reason", t.Err)
			} else {
				d.log.Error("message given up; no dead letter is kept of it", d.of(t), "attempts", t.Attempts, "reason", t.Err)
			}
			d.free(t)
		}
	}
}

// of names a task in the log.
func (d *dispatcher) of(t *Task) slog.Attr {
	if t.envelope == nil {
		return slog.Group("message", "entry", t.Delivery.ID)
	}
	h := &t.envelope.Metadata.Headers
	return slog.Group("message", "entry", t.Delivery.ID, "id", h.ID, "type", h.Type)
}
