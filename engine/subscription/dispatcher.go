package subscription

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

const (
	// waitFactor times MessagesPerTick is how many tasks may be unsettled
	// before reading stops.
	waitFactor = 10
	// collectEvery is how often finished tasks of a run under way are settled.
	collectEvery = ackDelay / 2
	// patience is how long a stop waits for handlers whose context has ended.
	patience = time.Second
)

// dispatcher decides which task is called when, and settles what comes back.
// All of its state belongs to the goroutine that runs it.
type dispatcher struct {
	cfg         Config
	member      Member
	ledger      *ledger
	acker       *acker
	seat        func() Seat
	decode      func(message.Delivery) (message.Envelope, error)
	instruments *instruments
	status      *status
	log         *slog.Logger

	ready   []*task // to be called, in order
	lanes   lanes
	waiting waitlist
	target  target
	open    int // tasks accepted and not settled

	idle    int               // workers without a run
	running map[*run]struct{} // the others' runs
	letters []letter          // to be parked
	parking bool
	// unrecorded are tasks whose coming call the broker has not on record yet.
	unrecorded []*task
	recording  bool
	// recordFails is what the log last said of recording.
	recordFails bool

	runs     chan *run
	finished chan *run
	done     chan func() // results of what runs in the background
	over     chan struct{}
	stopping atomic.Bool
	// background are the goroutines that talk to the broker for the dispatcher.
	background sync.WaitGroup
	// books is their context: it outlives reading and handling.
	books context.Context
}

// run dispatches until ctx ends, and then until the handlers under way are
// through; those get until work ends. It returns the tasks whose handlers did
// not return.
func (d *dispatcher) run(ctx, work context.Context, batches <-chan []*task) (stuck []*task) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		d.start()
		timer.Reset(d.untilNext())
		offered := batches
		if !d.hungry() {
			offered = nil
		}
		select {
		case <-ctx.Done():
		case tasks := <-offered:
			d.accept(tasks)
		case r := <-d.finished:
			d.finish(r)
		case result := <-d.done:
			result()
		case <-timer.C:
			d.wake()
			d.collectAll()
		}
	}
	return d.drain(work)
}

// hungry says whether a batch may be taken: all in hand is under way, and not
// too much waits on the side. While the target is down, one may be taken if all
// in hand has found it so: another message may be answered.
func (d *dispatcher) hungry() bool {
	if d.open >= waitFactor*d.cfg.MessagesPerTick {
		return false
	}
	if d.target.down {
		return !slices.ContainsFunc(d.ready, func(t *task) bool { return !t.foundDown() })
	}
	return len(d.ready) == 0 && d.idle > 0
}

// accept decodes a batch and lines it up.
func (d *dispatcher) accept(tasks []*task) {
	d.open += len(tasks)
	var skipped int64
	for _, t := range tasks {
		if t.delivery.Gone() {
			d.ghost(t)
			continue
		}
		envelope, err := d.decode(t.delivery)
		if err != nil {
			d.park(t, err)
			continue
		}
		t.envelope = envelope
		if t.calls > max(d.cfg.Retry.MaxAttempts, 1) {
			d.park(t, fmt.Errorf("called %d times by processes that did not finish it", t.calls))
			continue
		}
		if d.foreign(t) {
			skipped++
			d.acknowledge(t)
			continue
		}
		t.key = d.keyOf(t)
		d.ready = append(d.ready, t)
	}
	d.instruments.skipped(skipped)
	d.publishStatus()
}

// foreign says whether the message's origin is another than the one this
// subscription is limited to.
func (d *dispatcher) foreign(t *task) bool {
	want := d.cfg.OriginStream
	return want != "" && message.Category(t.envelope.Metadata.Domain.OriginStream) != want
}

// keyOf is what the message's order is kept by. Entries of foreign shape belong
// to no aggregate: their stream is the whole stream, which none shall hold up.
func (d *dispatcher) keyOf(t *task) string {
	switch d.cfg.Order {
	case OrderNone:
		return ""
	case OrderStream:
		if t.envelope.Metadata.Domain.Kind == message.KindBroker {
			return ""
		}
		return t.envelope.Metadata.Headers.Stream
	default:
		key, _ := message.FieldText(t.envelope.Data, d.cfg.Order)
		return key
	}
}

// start gives tasks to idle workers.
func (d *dispatcher) start() {
	for d.idle > 0 && d.target.mayStart(time.Now(), len(d.running)) {
		tasks := d.take()
		if len(tasks) == 0 {
			break
		}
		r := &run{tasks: tasks}
		d.running[r] = struct{}{}
		d.idle--
		d.runs <- r
	}
	d.record()
}

// take picks the tasks of the next run. One worker gets all that are ready, so
// that fast handlers cost no hand-over each; several get one each, whose key
// is held until it is settled. A probe is one task too.
func (d *dispatcher) take() []*task {
	if d.target.down {
		d.preferOthers()
	} else if d.cfg.Concurrency == 1 {
		return d.takeAll()
	}
	for len(d.ready) > 0 {
		t := d.ready[0]
		d.ready = d.ready[1:]
		if d.lanes.hold(t) && d.recorded(t) {
			return []*task{t}
		}
	}
	return nil
}

// preferOthers puts tasks that have not found the target down first, and then
// those that found it so longest ago: one message may be what brings the target
// down, and so may several.
func (d *dispatcher) preferOthers() {
	slices.SortStableFunc(d.ready, func(a, b *task) int { return a.foundDownAt().Compare(b.foundDownAt()) })
}

func (d *dispatcher) takeAll() []*task {
	tasks := d.ready[:0]
	for _, t := range d.ready {
		if !d.lanes.blocked(t) && d.recorded(t) {
			tasks = append(tasks, t)
		}
	}
	d.ready = nil
	return tasks
}

// finish takes a run back that is over. What was not run goes back to where it
// stood.
func (d *dispatcher) finish(r *run) {
	delete(d.running, r)
	d.idle++
	d.collect(r, len(r.tasks))
	d.pushFront(r.back)
	if len(d.running) == 0 && len(d.ready) == 0 {
		d.acker.hurry()
	}
	d.publishStatus()
}

// collectAll settles what is finished of the runs under way: a slow handler
// must not hold up the acknowledgement of those before it.
func (d *dispatcher) collectAll() {
	for r := range d.running {
		d.collect(r, int(r.current.Load()))
	}
}

// collect settles the tasks of a run up to an index.
func (d *dispatcher) collect(r *run, end int) {
	var acks []string
	var tally tally
	for _, t := range r.tasks[r.collected:end] {
		switch {
		case !t.notRun:
			acks = d.settle(t, &tally, acks)
		case !d.lanes.blocked(t):
			r.back = append(r.back, t)
		}
	}
	r.collected = end
	d.acker.add(acks...)
	d.instruments.count(tally)
}

func (d *dispatcher) pushFront(tasks []*task) {
	if len(tasks) > 0 {
		d.ready = append(tasks, d.ready...)
	}
}

// wait puts a task aside until it is due; its key stays held. Where another
// holds the key (an older message that was adopted meanwhile) the task has its
// turn after that one.
func (d *dispatcher) wait(t *task, delay time.Duration) {
	if !d.lanes.hold(t) {
		return
	}
	t.due = time.Now().Add(delay)
	d.waiting.add(t)
}

// wake lines up what is due. Retries go before what came later.
func (d *dispatcher) wake() {
	now := time.Now()
	var due []*task
	for d.waiting.Len() > 0 && !d.waiting.first().due.After(now) {
		due = append(due, d.waiting.next())
	}
	d.pushFront(due)
	d.publishStatus()
}

// untilNext is how long nothing happens by itself.
func (d *dispatcher) untilNext() time.Duration {
	next := time.Hour
	if len(d.running) > 0 {
		next = collectEvery
	}
	if d.waiting.Len() > 0 {
		next = min(next, time.Until(d.waiting.first().due))
	}
	if d.target.down && len(d.running) == 0 && len(d.ready) > 0 {
		next = min(next, time.Until(d.target.probe))
	}
	return max(next, 0)
}

// inBackground runs fn beside the dispatcher; the function that it returns is
// run by the dispatcher.
func (d *dispatcher) inBackground(fn func(ctx context.Context) func()) {
	d.background.Go(func() {
		result := fn(d.books)
		select {
		case d.done <- result:
		case <-d.over:
		}
	})
}

// drain waits for the handlers under way and for dead letters being parked.
func (d *dispatcher) drain(work context.Context) []*task {
	d.stopping.Store(true)
	close(d.runs)
	collect := time.NewTicker(collectEvery)
	defer collect.Stop()
	expired := work.Done()
	var giveUp <-chan time.Time
	for len(d.running) > 0 || d.parking {
		select {
		case r := <-d.finished:
			d.finish(r)
		case result := <-d.done:
			result()
		case <-collect.C:
			d.collectAll()
		case <-expired:
			expired, giveUp = nil, time.After(patience)
		case <-giveUp:
			return d.underWay()
		}
	}
	return nil
}

func (d *dispatcher) underWay() []*task {
	d.collectAll()
	var stuck []*task
	for r := range d.running {
		stuck = append(stuck, r.tasks[r.current.Load()])
	}
	return stuck
}

func (d *dispatcher) publishStatus() {
	d.status.waiting.Store(int64(d.waiting.Len()))
	d.status.setDown(d.target.down)
}
