package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
)

// tally counts the outcomes of a report.
type tally struct{ ok, failed, skipped, retries int64 }

// letter is a task that is given up on, and why.
type letter struct {
	task     *task
	reason   string
	failedAt time.Time
}

// settle decides what becomes of a task that was called. It appends the ids to
// be acknowledged to acks.
func (d *dispatcher) settle(t *task, tally *tally, acks []string) []string {
	verdict, after := handler.OutcomeOf(t.err)
	verdict = d.judgeTarget(t, verdict)
	switch verdict {
	case handler.Done:
		tally.ok++
		d.free(t)
		return append(acks, t.delivery.ID)
	case handler.Skipped:
		tally.skipped++
		d.free(t)
		return append(acks, t.delivery.ID)
	case handler.Postponed:
		d.wait(t, after)
	case handler.Down:
		d.wait(t, time.Until(d.target.probe))
	case handler.Rejected:
		tally.failed++
		t.calls++
		d.park(t, handler.Cause(t.err))
	case handler.Failed:
		tally.failed++
		t.calls++
		d.retryOrGiveUp(t, tally)
	}
	return acks
}

func (d *dispatcher) retryOrGiveUp(t *task, tally *tally) {
	if crash, ok := errors.AsType[*handler.PanicError](t.err); ok {
		d.log.Error("handler panicked", d.of(t), "panic", fmt.Sprint(crash.Value), "stack", string(crash.Stack))
	}
	delay, again := d.cfg.Retry.Next(t.calls)
	if !again {
		d.park(t, handler.Cause(t.err))
		return
	}
	tally.retries++
	d.log.Warn("handler failed; trying again", d.of(t), "calls", t.calls, "in", delay.String(), "error", handler.Cause(t.err))
	d.wait(t, delay)
}

// judgeTarget keeps track of whether the target is down. A message that finds
// it down time and again while others are answered is itself what fails.
func (d *dispatcher) judgeTarget(t *task, v handler.Outcome) handler.Outcome {
	if v == handler.Skipped {
		return v // it was not for the target
	}
	if v != handler.Down {
		if d.target.answered(t.started) {
			d.log.Info("target answers again")
			d.accuse(t)
		}
		return v
	}
	if t.excused >= excuses {
		return handler.Failed
	}
	t.accused = false
	if d.target.failed(t.started, time.Now()) {
		d.log.Error("target is down; holding the subscription up at no cost to its messages", d.of(t), "error", handler.Cause(t.err))
	}
	return v
}

// accuse notes, once for each call that had found the target down, that it now
// answered another message.
func (d *dispatcher) accuse(answered *task) {
	for _, tasks := range [][]*task{d.waiting, d.ready} {
		for _, t := range tasks {
			if t.foundDown() && !t.accused && t != answered {
				t.accused = true
				t.excused++
			}
		}
	}
}

// free ends a task: what queued behind it may go on.
func (d *dispatcher) free(t *task) {
	d.open--
	d.pushFront(d.lanes.release(t))
}

// acknowledge ends a task that needs no call.
func (d *dispatcher) acknowledge(t *task) {
	d.free(t)
	d.acker.add(t.delivery.ID)
}

// ghost ends an entry whose body was deleted or trimmed while it was pending.
func (d *dispatcher) ghost(t *task) {
	d.instruments.ghost()
	d.log.Warn("entry has no body any more; acknowledging it", d.of(t))
	d.acknowledge(t)
}

// recorded says whether the broker has the coming call on record. If not, the
// task is put aside until it has: a call that kills the process must count.
func (d *dispatcher) recorded(t *task) bool {
	if t.onRecord() {
		return true
	}
	d.lanes.hold(t)
	d.unrecorded = append(d.unrecorded, t)
	return false
}

// record puts the coming calls of all such tasks on record, a batch at a time.
func (d *dispatcher) record() {
	if d.recording || len(d.unrecorded) == 0 {
		return
	}
	d.recording = true
	batch := d.unrecorded
	d.unrecorded = nil
	calls := make([]Held, len(batch))
	for i, t := range batch {
		calls[i] = Held{ID: t.delivery.ID, Attempts: t.calls + 1}
	}
	d.inBackground(func(ctx context.Context) func() {
		lost, err := d.seat().Attempt(ctx, calls)
		return func() { d.onRecord(batch, setOf(lost), err) }
	})
}

func (d *dispatcher) onRecord(batch []*task, lost map[string]bool, err error) {
	d.recording = false
	d.tellRecording(err)
	var ready []*task
	for _, t := range batch {
		switch {
		case err != nil:
			d.wait(t, max(d.cfg.Retry.Delay, time.Second))
		case lost[t.delivery.ID]:
			d.lose(t)
		default:
			t.recorded = t.calls + 1
			ready = append(ready, t)
		}
	}
	d.pushFront(ready)
}

// tellRecording logs when calls can no longer be recorded, and when they can
// again: until then nothing is called a second time.
func (d *dispatcher) tellRecording(err error) {
	switch {
	case err != nil && !d.recordFails:
		d.log.Error("cannot record attempts; what failed waits until it works", "error", err)
	case err == nil && d.recordFails:
		d.log.Info("recording attempts again")
	}
	d.recordFails = err != nil
}

// lose drops a task that is not pending for this consumer any more: another
// has taken it over, or somebody acknowledged or removed it by hand.
func (d *dispatcher) lose(t *task) {
	d.log.Info("entry is no longer this consumer's", d.of(t))
	d.ledger.strike([]string{t.delivery.ID})
	d.free(t)
}

// park gives a task up: to the dead-letter queue, or to nobody where the
// subscription has none.
func (d *dispatcher) park(t *task, cause error) {
	if !d.cfg.DeadLetters {
		d.log.Error("message given up and discarded: enable_dlq is false", d.of(t), "calls", t.calls, "error", cause)
		d.acknowledge(t)
		return
	}
	d.letters = append(d.letters, letter{task: t, reason: reasonOf(cause), failedAt: time.Now()})
	d.sendLetters()
}

// reasonOf is an error's type and text, as the original writes it.
func reasonOf(err error) string { return fmt.Sprintf("%T: %v", err, err) }

// sendLetters parks what is to be parked, one batch at a time.
func (d *dispatcher) sendLetters() {
	if d.parking || len(d.letters) == 0 {
		return
	}
	d.parking = true
	batch := d.letters
	d.letters = nil
	d.inBackground(func(ctx context.Context) func() {
		result := d.deliverLetters(ctx, batch)
		return func() { d.parked(batch, result) }
	})
}

// parking is what came of delivering letters.
type parking struct {
	// lost are entries that this consumer did not have any more.
	lost map[string]bool
	// unsure says that an earlier try failed, and may have done its work all the
	// same: then what is lost was most likely parked by it.
	unsure bool
	err    error
}

// deliverLetters tries until the queue has the letters or ctx ends.
func (d *dispatcher) deliverLetters(ctx context.Context, batch []letter) (p parking) {
	entries := make([]deadletter.Entry, len(batch))
	for i, l := range batch {
		entries[i] = d.compose(l)
	}
	for backoff := newBackoff(); ; p.unsure = true {
		var lost []string
		p.err = d.ledger.settle(func() (ids []string, err error) {
			lost, err = d.seat().DeadLetter(ctx, entries)
			if err != nil {
				return nil, err
			}
			return idsOf(batch), nil
		})
		if p.err == nil {
			if p.unsure {
				d.log.Info("dead letters are written again", "letters", len(batch))
			}
			p.lost = setOf(lost)
			return p
		}
		if !p.unsure {
			d.log.Error("cannot write dead letters; trying again until it works", "letters", len(batch), "error", p.err)
		}
		if !sleep(ctx, backoff.next()) {
			return p
		}
	}
}

func (d *dispatcher) compose(l letter) deadletter.Entry {
	return deadletter.Compose(l.task.delivery, deadletter.Metadata{
		OriginalStream: l.task.delivery.Stream,
		OriginalID:     l.task.delivery.ID,
		ConsumerGroup:  d.member.Group,
		Consumer:       d.member.Consumer,
		FailedAt:       l.failedAt,
		RetryCount:     l.task.calls,
		FailureReason:  l.reason,
	})
}

func (d *dispatcher) parked(batch []letter, p parking) {
	d.parking = false
	if p.err != nil {
		return // stopping: the entries are released instead
	}
	for _, l := range batch {
		if p.lost[l.task.delivery.ID] && !p.unsure {
			d.lose(l.task)
			continue
		}
		d.instruments.deadLetter()
		d.log.Error("dead-lettered", d.of(l.task), "queue", deadletter.QueueOf(l.task.delivery.Stream),
			"calls", l.task.calls, "reason", l.reason)
		d.free(l.task)
	}
	d.sendLetters()
	d.publishStatus()
}

// of names a task in the log.
func (d *dispatcher) of(t *task) slog.Attr {
	h := &t.envelope.Metadata.Headers
	return slog.Group("message", "entry", t.delivery.ID, "id", h.ID, "type", h.Type)
}

func idsOf(batch []letter) []string {
	ids := make([]string, len(batch))
	for i, l := range batch {
		ids[i] = l.task.delivery.ID
	}
	return ids
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}
