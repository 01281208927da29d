package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
)

const (
	// waitFactor times MessagesPerTick is how many tasks may be unsettled
	// before reading stops.
	waitFactor = 10
	// heldUp is how many tasks may be unsettled while the target cannot be reached,
	// where MessagesPerTick is small: a thousand subscriptions may be held up at
	// once.
	heldUp = 20
	// maxFollowers is how many messages of the same key a worker gets behind
	// the first.
	maxFollowers = 31
	// waitFactorDown is how many times the usual bound may be unsettled while the
	// target is down and all in hand has found it so.
	waitFactorDown = 10
	// exclusiveFor is how long calls wait for one that is to have no other beside
	// it, and that one for them.
	exclusiveFor = time.Second
	// acceptAtOnce is how many tasks are decoded before several workers are given
	// what they can be given.
	acceptAtOnce = 4
	// collectEvery is how often the finished tasks of a run under way are
	// settled.
	collectEvery = 25 * time.Millisecond
	// cancelGrace is how long handlers may take to return once their context has
	// ended.
	cancelGrace = time.Second
)

// dispatcher decides which task is called when, and settles what comes back.
// All of its state belongs to the goroutine that runs it.
type dispatcher struct {
	cfg      Config
	source   Source
	share    *share
	counting counting
	status   *status
	log      *slog.Logger
	events   limitedLog // what happens to single messages
	began    time.Time

	// Tasks to be called: those of first come before those of ready, and those of
	// incoming are to be decoded first. A task is in one of the three, or queues
	// behind its key (and may be in a run then, behind the one that holds it), or
	// waits, or is in a run, or is with one of the background steps below.
	incoming []*Task
	first    []*Task
	ready    []*Task
	keys     keyOrder
	waiting  waitlist
	outage   outage
	breaker  *breaker
	permit   permit // the breaker's, of this turn
	closed   bool   // nothing may be called, of this turn
	closedAt time.Time
	open     int     // accepted and not settled
	done     []*Task // handled, to be given to the source

	idle     int               // workers without a run, those included that are not started yet
	working  int               // workers that are started; one more is when all others have a run
	numbers  []int             // of workers that have ended, the next ones' numbers
	holding  bool              // what may be called waits for a run that has none beside it, or to be one
	running  map[*run]struct{} // the runs of the workers that have one
	runs     chan *run
	finished chan *run
	// startWorker starts the worker of this number, from 0 up to Concurrency - 1. No
	// other with it works.
	startWorker func(int)

	// What needs the source before it can go on; see background.go.
	recording  step // puts coming attempts on record
	givingUp   step // writes dead letters
	reloading  step // reads bodies again
	results    chan result
	over       chan struct{} // closed when results are no longer taken
	settling   context.Context
	background sync.WaitGroup

	apart      int  // tasks beside which none is taken, whose call has not returned
	unwritten  int  // dead letters that could not be written yet
	stuck      int  // calls beyond their time-out
	reloads    bool // the source can read bodies again
	reloadSize readSize
	stopping   atomic.Bool
}

func newDispatcher(settling context.Context, r *Runner) *dispatcher {
	_, reloads := r.source.(Reloader)
	d := &dispatcher{
		cfg: r.cfg, source: r.source, share: r.share, counting: r.counting, status: &r.status, log: r.log,
		events: limitedLog{log: r.log, lines: make(map[string]*gatheredLines)},
		began:  time.Now(), keys: make(keyOrder), outage: newOutage(&r.status.gate),
		breaker: newBreaker(&r.cfg, &r.status.gate, r.log, r.counting.transition),
		idle:    r.cfg.Concurrency, running: make(map[*run]struct{}),
		runs: make(chan *run, r.cfg.Concurrency), finished: make(chan *run, r.cfg.Concurrency),
		reloads: reloads, reloadSize: readSize{limit: r.cfg.MessagesPerTick, current: r.cfg.MessagesPerTick}, results: make(chan result), over: make(chan struct{}), settling: settling,
	}
	d.initSteps()
	return d
}

// run dispatches until ctx ends, and then until the handlers under way have
// returned; those get until work ends. It returns the tasks whose handlers did
// not return.
func (d *dispatcher) run(ctx, work context.Context, batches, lost <-chan []*Task, wanted chan<- struct{}) (underWay []*Task) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		d.start()
		d.publishStatus()
		if len(d.incoming) > 0 {
			d.acceptSome()
			continue
		}
		timer.Reset(d.untilNext())
		offered, asked := batches, wanted
		if !d.wantsBatch() {
			asked = nil
			if !d.closed || d.apart > 0 { // what was read before the gate closed is in hand
				offered = nil
			}
		}
		select {
		case <-ctx.Done():
		case asked <- struct{}{}:
		case tasks := <-offered:
			d.open += len(tasks)
			d.incoming = tasks
		case r := <-d.finished:
			d.finish(r)
			d.finishMore()
		case tasks := <-lost:
			d.lose(tasks)
		case r := <-d.results:
			d.end(r)
		case <-d.share.short:
			d.unloadWaiting()
		case <-d.status.gateChanged:
		case <-timer.C:
			d.wake()
			d.collectRunning()
		}
	}
	return d.drain(work, lost)
}

// drain waits for the handlers under way. No call is started any more.
func (d *dispatcher) drain(work context.Context, lost <-chan []*Task) (underWay []*Task) {
	d.stopping.Store(true)
	close(d.runs)
	collect := time.NewTicker(collectEvery)
	defer collect.Stop()
	ended := work.Done()
	var grace <-chan time.Time
	for len(d.running) > 0 {
		d.begin(&d.givingUp, len(d.givingUp.tasks))
		d.publishStatus()
		select {
		case r := <-d.finished:
			d.finish(r)
		case tasks := <-lost:
			d.lose(tasks)
		case r := <-d.results:
			d.end(r)
		case <-collect.C:
			d.collectRunning()
		case <-ended:
			ended, grace = nil, time.After(cancelGrace)
		case <-grace:
			d.finishMore()
			d.collectRunning()
			for r := range d.running {
				t := r.tasks[r.current.Load()]
				t.UnderWay = true
				underWay = append(underWay, t)
			}
			return underWay
		}
	}
	return nil
}

// writeRest writes the dead letters of the last calls until ctx ends. None that
// failed is tried again: its message is given back.
func (d *dispatcher) writeRest(ctx context.Context, lost <-chan []*Task) {
	d.begin(&d.givingUp, len(d.givingUp.tasks))
	for d.givingUp.busy {
		select {
		case r := <-d.results:
			d.end(r)
		case tasks := <-lost:
			d.lose(tasks)
		case <-ctx.Done():
			d.events.flush(time.Now(), true)
			return
		}
		d.begin(&d.givingUp, len(d.givingUp.tasks))
	}
	d.events.flush(time.Now(), true)
	d.publishStatus()
}

// wantsBatch says whether a batch may be taken: all that may be called is under
// way, and not too much is unsettled. While the target is down one may be taken if
// all in hand has found it so: of messages that may be the cause many more than
// usual, since another may be answered, and of others a few. While the circuit
// breaker is half open one may be taken if all in hand has failed.
func (d *dispatcher) wantsBatch() bool {
	bound := waitFactor * d.cfg.MessagesPerTick
	switch {
	case d.apart > 0, d.closed:
		return false
	case !d.isProbing():
		return d.open < bound && len(d.first)+len(d.ready) == 0 && d.idle > 0
	case !d.outage.down():
	case !d.outage.reached:
		bound = min(bound, max(heldUp, 2*d.cfg.MessagesPerTick))
	case d.share.mayHaveExtra():
		bound *= waitFactorDown
	}
	return d.open < bound && !d.hasUntried()
}

// acceptSome accepts the next tasks of a batch. A single worker is given all of a
// batch at once; several would wait while it is decoded.
func (d *dispatcher) acceptSome() {
	n := len(d.incoming)
	if d.cfg.Concurrency > 1 {
		n = min(n, acceptAtOnce)
	}
	d.accept(d.incoming[:n])
	d.incoming = d.incoming[n:]
	d.finishMore()
}

// accept decodes tasks and lines them up.
func (d *dispatcher) accept(tasks []*Task) {
	var counts counts
	calls := make([]callContext, len(tasks))
	for i, t := range tasks {
		t.call = &calls[i]
		if t.lost {
			d.drop(t)
			continue
		}
		if t.Delivery.Gone() {
			d.ghost(t)
			continue
		}
		group, _, replayed := t.Delivery.ReplayedFor()
		if t.Foreign || replayed && group != d.cfg.Group {
			counts.skipped++
			d.handled(t)
			continue
		}
		if err := t.decode(&d.cfg); err != nil {
			d.giveUp(t, deadletter.Undecodable, err)
			continue
		}
		if t.Attempts > max(d.cfg.Retry.MaxAttempts, 1) {
			d.endCalls(t, deadletter.Poison, poison(t.Attempts))
			d.ready = append(d.ready, t) // those of its key before it have their turn first
			continue
		}
		if t.isForeign(&d.cfg) {
			counts.skipped++
			d.handled(t)
			continue
		}
		if _, held := d.keys[t.key]; t.Apart && !held { // else it has its turn later, and must hold nothing up until then
			t.apart = true
			d.apart++
		}
		d.ready = append(d.ready, t)
	}
	d.counting.count(counts)
	d.flushDone()
}

// poison is why a message is given up that several processes began and none
// finished.
func poison(attempts int) error {
	if attempts == math.MaxInt {
		return errors.New("its delivery count marks it as one that must not be attempted")
	}
	return fmt.Errorf("attempted %d times by processes that did not finish it", attempts)
}

// start gives tasks to idle workers, and what cannot be called yet to the
// background steps.
func (d *dispatcher) start() {
	now := time.Now()
	d.permit = d.breaker.permit(now)
	if was := d.closed; d.permit.none || d.status.gate.holdsCalls() {
		if d.closed = true; !was {
			d.closedAt = now
		}
		d.unloadHeld()
	} else {
		d.closed = false
	}
	for d.idle > 0 && !d.closed {
		tasks := d.take()
		if len(tasks) == 0 {
			break
		}
		r := &run{
			tasks: tasks, isolated: d.cfg.Concurrency > 1 && tasks[0].suspect, handed: time.Now(), opening: d.permit.opening,
		}
		for _, t := range tasks {
			t.probe = d.outage.down()
			t.alone = d.cfg.Concurrency == 1 || r.isolated || t.probe
		}
		r.callBegan.Store(int64(r.handed.Sub(d.began)))
		d.running[r] = struct{}{}
		d.idle--
		if len(d.running) > d.working {
			d.startWorker(d.nextNumber())
			d.working++
		}
		d.runs <- r
	}
	d.begin(&d.recording, len(d.recording.tasks))
	d.begin(&d.givingUp, len(d.givingUp.tasks))
	d.begin(&d.reloading, d.reloadable())
}

// nextNumber is the number of a worker to be started.
func (d *dispatcher) nextNumber() (n int) {
	if last := len(d.numbers) - 1; last >= 0 {
		n, d.numbers = d.numbers[last], d.numbers[:last]
		return n
	}
	return d.working // none has ended
}

// take picks the tasks of the next run. A single worker gets all that may be
// called, so that fast handlers cost no hand-over each. Several workers get one
// task each, which holds its key, and the first of those behind it; one over which
// the target may have gone down is called with no other beside it. While the target
// is down one task is tried: first those that have not found it down, then those
// that found it so longest ago, since one message may be what brings the target
// down, and so may several.
func (d *dispatcher) take() []*Task {
	probing := d.isProbing()
	d.holding = false
	switch {
	case probing && (!d.mayProbe() || d.reloading.busy || d.recording.busy):
		return nil
	case probing:
		d.ready = append(d.first, d.ready...)
		d.first = nil
		slices.SortStableFunc(d.ready, func(a, b *Task) int { return d.triedAt(a).Compare(d.triedAt(b)) })
	case d.cfg.Concurrency == 1:
		all := make([]*Task, 0, len(d.first)+len(d.ready))
		for t := d.pop(); t != nil; t = d.pop() {
			if d.keys.queueBehind(t) {
				d.putAside(t)
				continue
			}
			if !t.isCallable() && slices.ContainsFunc(all, t.hasKeyOf) { // it must not hold the key before they have returned
				d.first = append([]*Task{t}, d.first...)
				break
			}
			if d.prepare(t) {
				all = append(all, t)
			}
		}
		return all
	case d.isUnderWay(func(r *run) bool { return r.isolated }):
		d.holding = true
		return nil
	}
	for t := d.pop(); t != nil; t = d.pop() {
		if t.suspect && !probing && d.isUnderWay(func(*run) bool { return true }) {
			d.first = append([]*Task{t}, d.first...)
			d.holding = true
			return nil
		}
		claimed := d.keys.claim(t)
		if !claimed {
			d.putAside(t)
		}
		if !claimed || !d.prepare(t) {
			if probing && len(d.reloading.tasks)+len(d.recording.tasks) > 0 { // the one to be tried is read again, or put on record, first
				return nil
			}
			continue
		}
		if probing || t.suspect {
			return []*Task{t}
		}
		return append([]*Task{t}, d.keys.followers(t, maxFollowers)...)
	}
	return nil
}

// isProbing reports whether one message at a time is called: the target is down, or
// the circuit breaker is half open.
func (d *dispatcher) isProbing() bool { return d.outage.down() || d.permit.probe }

// triedAt is when the last call of a task began, where that is why another is to be
// tried before it; else zero.
func (d *dispatcher) triedAt(t *Task) time.Time {
	if d.permit.probe && t.hasFailed() {
		return t.started
	}
	return t.foundDownAt()
}

// mayProbe says whether a call may be started while one message at a time is: a
// probe is due, and no call begun since is under way.
func (d *dispatcher) mayProbe() bool {
	if time.Now().Before(d.probeAt()) {
		return false
	}
	since := int64(math.MaxInt64)
	if d.outage.down() {
		since = int64(d.outage.since.Sub(d.began))
	}
	for r := range d.running {
		begun := r.callBegan.Load() > since || d.permit.probe && r.opening == d.permit.opening
		if begun && !r.isStuck() {
			return false
		}
	}
	return true
}

// probeAt is when a probe is due. That of the circuit breaker waits a moment for a
// message that has not failed, where one may be read.
func (d *dispatcher) probeAt() (at time.Time) {
	if d.outage.down() {
		at = d.outage.probe
	}
	if d.permit.readTill.After(at) && d.wantsBatch() {
		at = d.permit.readTill
	}
	return at
}

// isUnderWay reports whether a run is under way that another waits for, which it
// does for a moment: a slow call must not hold up all others.
func (d *dispatcher) isUnderWay(match func(*run) bool) bool {
	for r := range d.running {
		if match(r) && time.Since(r.handed) < exclusiveFor {
			return true
		}
	}
	return false
}

func (d *dispatcher) pop() (t *Task) {
	switch {
	case len(d.first) > 0:
		t, d.first = d.first[0], d.first[1:]
	case len(d.ready) > 0:
		t, d.ready = d.ready[0], d.ready[1:]
	}
	return t
}

// prepare reports whether a task can be called now. Where it cannot, it is put
// where it belongs; one that still is to be called holds its key.
func (d *dispatcher) prepare(t *Task) bool {
	switch {
	case t.lost:
		d.drop(t)
	case t.stage == toGiveUp:
		d.keys.claim(t)
		d.givingUp.tasks = append(d.givingUp.tasks, t)
	case t.unloaded:
		d.keys.claim(t)
		d.reloading.tasks = append(d.reloading.tasks, t)
	case t.Recorded < t.Attempts+1:
		d.keys.claim(t)
		d.recording.tasks = append(d.recording.tasks, t)
	default:
		return t.call.base == nil || d.decodeAgain(t)
	}
	return false
}

// decodeAgain readies a task for another call: a handler may have kept its context and
// changed its envelope. One whose body was changed in place is read again.
func (d *dispatcher) decodeAgain(t *Task) bool {
	t.call = new(callContext)
	err := t.decodeAgain(&d.cfg)
	switch {
	case err == nil:
		return true
	case d.reloads:
		d.keys.claim(t)
		t.unload(d.share)
		d.reloading.tasks = append(d.reloading.tasks, t)
	default:
		d.giveUp(t, deadletter.Undecodable, fmt.Errorf("a handler changed the message's memory: %w", err))
	}
	return false
}

// wake lines up what is due.
func (d *dispatcher) wake() {
	now := time.Now()
	d.events.flush(now, false)
	for d.waiting.Len() > 0 && !d.waiting.first().due.After(now) {
		t := d.waiting.next()
		if t.stage == toGiveUp {
			d.givingUp.tasks = append(d.givingUp.tasks, t)
		} else {
			d.first = append(d.first, t)
		}
	}
}

// untilNext is how long nothing happens by itself.
func (d *dispatcher) untilNext() time.Duration {
	next := time.Hour
	callable := d.idle > 0 && len(d.first)+len(d.ready) > 0 && !d.holding && !d.closed
	if callable && !d.isProbing() {
		return 0
	}
	if !d.permit.changes.IsZero() {
		next = min(next, time.Until(d.permit.changes))
	}
	if unload := time.Until(d.closedAt.Add(longWait)); d.closed && unload > 0 {
		next = min(next, unload)
	}
	if len(d.running) > 0 {
		next = collectEvery
	}
	if end := d.events.next(); !end.IsZero() {
		next = min(next, time.Until(end))
	}
	if d.waiting.Len() > 0 {
		next = min(next, time.Until(d.waiting.first().due))
	}
	if callable {
		if probe := time.Until(d.probeAt()); probe > 0 {
			next = min(next, probe)
		} else {
			next = min(next, collectEvery)
		}
	}
	return max(next, 0)
}

func (d *dispatcher) publishStatus() {
	d.status.waiting.Store(int64(d.waiting.Len()))
	d.status.calls.Store(int64(len(d.running)))
	d.status.stuckCalls.Store(int64(d.stuck))
	d.status.deadLettersWaiting.Store(int64(d.unwritten))
	d.status.open.Store(int64(d.open))
	d.share.setExtra(max(0, int64(d.open-waitFactor*d.cfg.MessagesPerTick)))
}
