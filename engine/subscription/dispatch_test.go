package subscription

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/handler"
	"github.com/observatory-go/observatory/engine/message"
)

// stub is a source of a few messages whose dead letters come to what giveUp says.
type stub struct {
	tasks  []*Task
	giveUp func(ctx context.Context, tasks []*Task) error
	left   time.Duration // that Close had
}

func (s *stub) Open(Config, *slog.Logger) Source { return s }

func (s *stub) Next(ctx context.Context, _ int) ([]*Task, error) {
	tasks := s.tasks
	s.tasks = nil
	if tasks == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return tasks, nil
}

func (s *stub) Upkeep(ctx context.Context, _ chan<- []*Task) { <-ctx.Done() }
func (s *stub) Done([]*Task)                                 {}

func (s *stub) Attempt(_ context.Context, tasks []*Task) ([]*Task, error) {
	for _, t := range tasks {
		t.Recorded = t.Attempts + 1
	}
	return nil, nil
}

func (s *stub) GiveUp(ctx context.Context, tasks []*Task) ([]*Task, error) {
	return nil, s.giveUp(ctx, tasks)
}

func (s *stub) Close(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.left = time.Until(deadline)
	return nil
}

func newTask(t *testing.T, id, stream string) *Task {
	t.Helper()
	e, err := message.New(message.KindEvent, message.Headers{ID: id, Type: "T.v1", Stream: stream, Time: time.Now()}, []byte(`{}`))
	require.NoError(t, err)
	raw, err := e.Encode()
	require.NoError(t, err)
	return &Task{Delivery: message.Delivery{Stream: "s", ID: id, Fields: []message.Field{{Name: "data", Value: raw}}}, Recorded: 1}
}

func newStubRunner(t *testing.T, s *stub, fn handler.Func) *Runner {
	t.Helper()
	r, err := New(Config{Handler: "h", Stream: "s", DeadLetters: true}, s, fn, Environment{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return r
}

func TestADeadLetterThatHangsAtAStopLeavesTimeToGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{tasks: []*Task{newTask(t, "1-0", "s-a"), newTask(t, "2-0", "s-b")}}
		s.giveUp = func(ctx context.Context, _ []*Task) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r := newStubRunner(t, s, func(context.Context, *message.Envelope) error { return handler.Reject(errors.New("no")) })
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, stop)
		require.NoError(t, r.Run(ctx, t.Context()))
		require.GreaterOrEqual(t, s.left, 2*time.Second)
	})
}

// In an outage the messages of a key were tried one by one; then the one that
// holds the key is lost, while a later one has arrived.
func TestOrderHoldsWhereTheHolderOfAKeyIsLost(t *testing.T) {
	r := newStubRunner(t, &stub{}, func(context.Context, *message.Envelope) error { return nil })
	r.share = newShare(r.budget)
	d := newDispatcher(t.Context(), r)
	d.startWorker = func(int) {}
	other, first, second, third := newTask(t, "0-1", "s-x"), newTask(t, "1-0", "s-a"), newTask(t, "2-0", "s-a"), newTask(t, "3-0", "s-a")
	begin := func(want ...*Task) *run {
		t.Helper()
		d.start()
		rn := <-d.runs
		require.Equal(t, want, rn.tasks)
		for _, task := range rn.tasks {
			task.call.begin(t.Context(), new(message.Envelope), time.Now().Add(time.Hour))
			task.started, task.notRun = time.Now(), true
		}
		return rn
	}
	end := func(rn *run, task *Task, o handler.Outcome) {
		task.notRun, task.outcome = false, o
		if o == handler.Down {
			task.err = errors.New("down")
		}
		d.finish(rn)
		for _, waiting := range d.waiting {
			waiting.due = time.Now()
		}
		d.outage.probe = time.Now()
	}
	d.accept([]*Task{other, first, second})
	end(begin(other, first, second), other, handler.Down)
	end(begin(first), first, handler.Down)
	d.wake()
	probe := begin(other) // which found it down longest ago; second queues behind first
	d.accept([]*Task{third})
	d.lose([]*Task{first})
	end(probe, other, handler.Done)
	var handled []string
	for d.start(); len(d.runs) > 0; d.start() {
		rn := <-d.runs
		for _, task := range rn.tasks {
			handled = append(handled, task.Delivery.ID)
			task.outcome, task.notRun = handler.Done, false
		}
		d.finish(rn)
	}
	require.Equal(t, []string{"2-0", "3-0"}, handled)
}

// Ten thousand workers take memory once there is work for them.
func TestAWorkerIsStartedWhenAllOthersAreAtWork(t *testing.T) {
	c := Config{Handler: "h", Stream: "s", Concurrency: 10_000}
	r, err := New(c, &stub{}, func(context.Context, *message.Envelope) error { return nil }, Environment{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	r.share = newShare(r.budget)
	d := newDispatcher(t.Context(), r)
	var started []int
	d.startWorker = func(i int) {
		started = append(started, i)
		r.counting.observer(i)
	}
	handle := func(ids ...string) {
		for _, id := range ids {
			d.accept([]*Task{newTask(t, id, "s-"+id)})
		}
		d.start()
		for len(d.runs) > 0 {
			rn := <-d.runs
			for _, task := range rn.tasks {
				task.outcome, task.notRun = handler.Done, false
			}
			d.finish(rn)
		}
	}
	require.Empty(t, started)
	handle("1-0", "2-0", "3-0")
	require.Equal(t, []int{0, 1, 2}, started)
	handle("4-0", "5-0")
	require.Len(t, started, 3, "they have come back")
	d.accept([]*Task{newTask(t, "6-0", "s-6-0")})
	d.start()
	last := <-d.runs
	last.tasks[0].outcome, last.tasks[0].notRun = handler.Done, false
	last.worker, last.workerEnded = 1, true
	d.finish(last)
	handle("7-0", "8-0")
	require.Len(t, started, 3, "two are enough for two")
	handle("9-0", "10-0", "11-0")
	require.Equal(t, []int{0, 1, 2, 1}, started, "the one that ended has its successor")
	allocated := 0
	for i := range r.figures.calls {
		if r.figures.calls[i].Load() != nil {
			allocated++
		}
	}
	require.Equal(t, 3, allocated)
}

// A stream may be replaced by a repaired copy while the bodies are dropped.
func TestABodyReadAgainKeepsItsKey(t *testing.T) {
	r := newStubRunner(t, &stub{}, func(context.Context, *message.Envelope) error { return nil })
	r.share = newShare(r.budget)
	d := newDispatcher(t.Context(), r)
	d.startWorker = func(int) {}
	task, other := newTask(t, "1-0", "s-a"), newTask(t, "2-0", "s-b")
	d.accept([]*Task{task, other})
	require.True(t, d.keys.claim(task))
	require.True(t, d.keys.claim(other))
	task.unload(d.share)
	task.Delivery.Fields = newTask(t, "1-0", "s-b").Delivery.Fields
	d.reloaded(task)
	d.handled(task)
	require.Equal(t, keyOrder{"s-b": nil}, d.keys)
}

func TestNoOtherIsTakenBesideWhatMayHaveEndedAProcess(t *testing.T) {
	r := newStubRunner(t, &stub{}, func(context.Context, *message.Envelope) error { return nil })
	r.share = newShare(r.budget)
	d := newDispatcher(t.Context(), r)
	require.True(t, d.wantsBatch())
	for _, end := range []func(*Task){
		func(task *Task) { d.settle(task, new(counts)) },
		func(task *Task) {
			task.outcome = handler.Failed
			task.err = errors.New("x")
			d.settle(task, new(counts))
		},
		d.drop, d.ghost,
		func(task *Task) { d.giveUp(task, deadletter.Poison, errors.New("poison")) },
	} {
		task := newTask(t, "1-0", "")
		task.Apart = true
		d.accept([]*Task{task})
		require.Same(t, task, d.pop())
		require.False(t, d.wantsBatch())
		end(task)
		require.True(t, d.wantsBatch())
	}
	holder, behind := newTask(t, "1-0", "s-a"), newTask(t, "2-0", "s-a")
	require.NoError(t, holder.decode(&d.cfg))
	require.True(t, d.keys.claim(holder))
	behind.Apart = true
	d.accept([]*Task{behind})
	d.pop()
	require.True(t, d.wantsBatch(), "it cannot be called yet")
}

func TestASumOfLongTimesDoesNotOverflow(t *testing.T) {
	h := newHistogram(endToEndBounds)
	const month = 30 * 24 * time.Hour
	for range 4000 {
		h.record(month, trace.SpanContext{})
	}
	p := metricdata.HistogramDataPoint[float64]{BucketCounts: make([]uint64, len(endToEndBuckets)+1)}
	h.addTo(&p, nil)
	require.InEpsilon(t, 4000*month.Seconds(), p.Sum, 1e-9)
}

func TestWhatACallSaysOfItsMessageWhereTheTargetIsDown(t *testing.T) {
	r := newStubRunner(t, &stub{}, func(context.Context, *message.Envelope) error { return nil })
	r.share = newShare(r.budget)
	d := newDispatcher(t.Context(), r)
	d.startWorker = func(int) {}
	down := func(task *Task, cut, alone bool) handler.Outcome {
		task.started, task.outcome, task.err, task.cut, task.alone = time.Now(), handler.Down, errors.New("down"), cut, alone
		d.observeTarget(task)
		return task.outcome
	}
	answer := func() {
		d.observeTarget(&Task{started: time.Now(), outcome: handler.Done})
	}
	task, other := newTask(t, "1-0", "s-a"), newTask(t, "2-0", "s-b")
	d.waiting.add(task)

	down(task, true, false)
	answer()
	require.Zero(t, task.downAlone, "it was cut off beside others")
	require.Zero(t, task.cuts)
	for range maxDownAlone {
		require.Equal(t, handler.Down, down(task, true, true))
		answer()
	}
	require.Equal(t, maxDownAlone, task.downAlone)
	require.Equal(t, maxDownAlone, task.cuts)
	require.Equal(t, handler.Failed, down(task, true, true), "others were answered each time")
	require.False(t, d.outage.down())
	answer()

	require.Equal(t, handler.Down, down(other, true, true))
	require.Equal(t, handler.Down, down(task, false, true), "it went down over another")
	answer()
	require.Equal(t, handler.Failed, down(task, false, true))
}
