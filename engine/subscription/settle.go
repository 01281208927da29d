package subscription

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
)

// longWait is the shortest wait for which a message gets a body of its own, or
// none where the budget is short.
const longWait = time.Second

// counts are the outcomes of a batch.
type counts struct{ ok, failed, skipped, retries int64 }

// finish takes a run back that is over.
func (d *dispatcher) finish(r *run) {
	delete(d.running, r)
	d.idle++
	if r.workerEnded {
		d.working--
		d.numbers = append(d.numbers, r.worker)
	}
	d.collect(r, len(r.tasks))
	d.first = append(d.first, r.back...)
}

// finishMore takes back the runs that have come back meanwhile.
func (d *dispatcher) finishMore() {
	for len(d.finished) > 0 {
		d.finish(<-d.finished)
	}
}

// collectRunning settles what is finished of the runs under way, since a slow
// handler must not hold up the acknowledgement of those before it, and notes
// the calls that do not end with their time-out.
func (d *dispatcher) collectRunning() {
	for r := range d.running {
		current := int(r.current.Load())
		d.collect(r, current)
		if time.Since(d.began)-time.Duration(r.callBegan.Load()) <= d.cfg.HandlerTimeout+cancelGrace {
			continue
		}
		if t := r.tasks[current]; !t.overdue.Swap(true) {
			d.stuck++
			d.endApart(t)
			d.returned(t)
			d.events.write(slog.LevelError, "handler runs beyond handler_timeout_seconds; its entry is no longer renewed",
				d.of(t), "timeout", d.cfg.HandlerTimeout.String())
		}
	}
}

// collect settles the tasks of a run up to an index.
func (d *dispatcher) collect(r *run, end int) {
	var counts counts
	for _, t := range r.tasks[r.collected:end] {
		if t.overdue.Swap(false) {
			d.stuck--
		}
		following := t.follows && !t.holds // it still queues behind its key
		t.follows = false
		switch {
		case t.lost && !following:
			d.drop(t)
		case t.lost: // dropped when it has its turn
		case !t.notRun:
			d.settle(t, &counts)
		case !following && !d.keys.queueBehind(t):
			r.back = append(r.back, t)
		}
	}
	r.collected = end
	d.flushDone()
	d.counting.count(counts)
}

// settle decides what becomes of a task that was called.
func (d *dispatcher) settle(t *Task, counts *counts) {
	d.endApart(t)
	d.observeTarget(t)
	switch t.outcome {
	case handler.Done:
		counts.ok++
		d.handled(t)
	case handler.Skipped:
		counts.skipped++
		d.handled(t)
	case handler.Postponed:
		d.returned(t)
		d.wait(t, t.after)
	case handler.Down:
		d.returned(t) // while the target is down too: another message may be what it answers
		if d.outage.down() {
			d.wait(t, time.Until(d.outage.probe))
			d.unloadHeld()
			return
		}
		d.events.write(slog.LevelWarn, "a call found the target down, which answers others; trying again, and no attempt is counted", d.of(t), "error", t.err)
		wait := aloneWait << min(t.downs-1, lastDoubling)
		d.wait(t, wait+rand.N(wait/4))
	case handler.Rejected:
		counts.failed++
		if !t.uncalled {
			t.Attempts++
		}
		why := deadletter.Rejected
		if t.unhandled {
			why = deadletter.Unhandled
		}
		d.giveUp(t, why, t.err)
	case handler.Failed:
		counts.failed++
		t.Attempts++
		if crash := t.crash; crash != nil {
			d.events.write(slog.LevelError, "handler panicked", d.of(t), "panic", t.err.Error(), "stack", string(crash.Stack))
		}
		d.returned(t)
		delay, again := d.cfg.Retry.Next(t.Attempts)
		if !again {
			d.giveUp(t, deadletter.Exhausted, t.err)
			return
		}
		counts.retries++
		d.events.write(slog.LevelWarn, "handler failed; trying again", d.of(t), "attempts", t.Attempts, "in", delay.String(), "error", t.err)
		d.wait(t, delay)
	}
}

// observeTarget keeps track of whether the target is down. A message that finds
// it down time and again while others are answered is itself what fails, unless too
// many find it so, or it went down over another; so is one that it takes time and
// again and does not answer, while it answers no other for long.
func (d *dispatcher) observeTarget(t *Task) {
	switch {
	case t.outcome == handler.Skipped, t.uncalled: // it did not reach the target
	case t.outcome != handler.Down:
		if t.downs == 0 && t.Attempts == 0 {
			d.outage.count(false)
		}
		t.suspect, t.downs = false, 0
		ended, alone := d.outage.answered(t)
		if ended {
			d.log.Info("target answers again")
		}
		for _, other := range alone {
			if other != t && !other.downAloneCounted {
				other.downAloneCounted = true
				other.downAlone++
			}
		}
	default:
		if t.downs++; t.downs == 1 && t.Attempts == 0 && !t.unreached {
			d.outage.count(true)
		}
		answersOthers := d.outage.answersOthers(t)
		t.suspect = t.suspect || t.cut
		if t.cut && t.alone {
			t.cuts++
		}
		// Of calls that are cut off together each may be what the target went down
		// over: that says nothing of their messages, which are called one by one next.
		t.downAloneCounted = t.cut && !t.alone
		if t.downAlone >= maxDownAlone && answersOthers && !t.unreached || t.cuts > maxCuts && t.cut && d.outage.lasts(cutOffAfter) {
			t.outcome = handler.Failed
			t.downAloneCounted = true
			if !t.cut {
				return
			}
		}
		if d.outage.failed(t, d.hasUntried()) {
			d.log.Error("target is down; the subscription is held up, and no attempt is counted", d.of(t), "error", t.err)
		}
	}
}

// hasUntried reports whether a task that may be called has not found the target
// down, or not failed where the circuit breaker is half open.
func (d *dispatcher) hasUntried() bool {
	untried := func(t *Task) bool { return d.triedAt(t).IsZero() }
	return slices.ContainsFunc(d.first, untried) || slices.ContainsFunc(d.ready, untried)
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
	d.endApart(t)
	t.stage = settled
	t.release(d.share)
	t.id, t.typ = "", ""
	d.open--
	if d.cfg.Concurrency == 1 {
		d.first = append(d.first, d.keys.free(t)...)
	} else if next := d.keys.next(t); next != nil && !next.follows {
		d.first = append(d.first, next)
	}
}

// endApart lets other tasks be taken again beside a task.
func (d *dispatcher) endApart(t *Task) {
	if t.apart {
		t.apart = false
		d.apart--
	}
}

// putAside notes that a task queues behind another of its key: its call is not to come
// soon, and nothing waits for that.
func (d *dispatcher) putAside(t *Task) {
	d.endApart(t)
	d.returned(t)
}

// returned tells the source that it need not wait any longer for a task that it took
// over.
func (d *dispatcher) returned(t *Task) {
	if t.TakenOver {
		t.TakenOver = false
		d.source.(Follower).Returned(t)
	}
}

// ghost ends an entry whose body was deleted or trimmed while it was pending.
func (d *dispatcher) ghost(t *Task) {
	d.counting.ghost()
	d.events.write(slog.LevelWarn, "entry has no body any more; acknowledging it", d.of(t))
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
	d.returned(t)
	d.counting.lose()
	d.events.write(slog.LevelWarn, "entry is not this consumer's any more: another took it over, or it was acknowledged or removed by hand", d.of(t))
	d.free(t)
}

// wait puts a task aside; its key stays held. Where another task holds the key
// it has its turn after that one, and no delay.
func (d *dispatcher) wait(t *Task, delay time.Duration) {
	if !d.keys.claim(t) {
		return
	}
	t.due = time.Now().Add(delay)
	if t.stage == toCall && delay >= longWait {
		d.keys.detach(t)
		switch {
		case t.unloaded:
		case d.reloads && (d.share.isShort() || t.foundDown()):
			t.unload(d.share)
		default:
			t.detach(&d.cfg)
		}
	}
	d.waiting.add(t)
}

// unloadWaiting drops the bodies of what waits long for its next attempt, and of
// what queues behind it: the budget has no room, and reading stops. A dead letter
// that waits keeps its body, since the entry may be trimmed meanwhile.
func (d *dispatcher) unloadWaiting() {
	if !d.reloads || !d.share.isShort() {
		return
	}
	soon := time.Now().Add(longWait)
	for _, t := range d.waiting {
		if !t.due.Before(soon) {
			d.unload(t)
		}
	}
}

// unloadHeld drops the bodies of all that is held up for longer: a thousand
// subscriptions may be at once, and all share one budget.
func (d *dispatcher) unloadHeld() {
	long := d.outage.down() && time.Since(d.outage.since) >= longWait || d.closed && time.Since(d.closedAt) >= longWait
	if !d.reloads || !long {
		return
	}
	for _, tasks := range [][]*Task{d.waiting, d.first, d.ready} {
		for _, t := range tasks {
			d.unload(t)
		}
	}
}

// unload drops the bodies of a task that is not with a worker, and of those
// behind it.
func (d *dispatcher) unload(t *Task) {
	if t.stage == toCall && !t.unloaded {
		d.keys.detach(t)
		t.unload(d.share)
	}
	key := t.key // of its own memory
	if !t.unloaded {
		key = strings.Clone(key)
	}
	for _, f := range d.keys.queued(t) {
		if !f.follows && f.stage == toCall && !f.unloaded {
			f.key = key
			f.unload(d.share)
		}
	}
}

// giveUp ends a task that cannot be handled. Until the source has written that
// down, as a dead letter where it keeps such, later messages of its key wait.
func (d *dispatcher) giveUp(t *Task, why deadletter.Reason, cause error) {
	d.endCalls(t, why, cause)
	if d.keys.claim(t) {
		d.givingUp.tasks = append(d.givingUp.tasks, t)
	}
}

// endCalls notes that a task is not called any more, and why.
func (d *dispatcher) endCalls(t *Task, why deadletter.Reason, cause error) {
	d.endApart(t)
	d.returned(t)
	t.stage, t.Reason, t.Err, t.FailedAt = toGiveUp, why, cause, time.Now()
}

// of names a task in the log.
func (d *dispatcher) of(t *Task) slog.Attr {
	attrs := []any{"entry", t.Delivery.ID}
	if t.id != "" {
		attrs = append(attrs, "id", t.id)
	}
	if t.typ != "" {
		attrs = append(attrs, "type", t.typ)
	}
	return slog.Group("message", attrs...)
}
