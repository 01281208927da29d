package subscription

import (
	"context"
	"time"
)

const (
	// cancelGrace is how long a stop waits for handlers whose context has ended.
	cancelGrace = time.Second
	// closeTimeout bounds what a stopping subscription still writes.
	closeTimeout = 3 * time.Second
)

// drain waits for the handlers under way and for the dead letters that are being
// written. No call is started any more, and no failed write is repeated.
func (d *dispatcher) drain(work context.Context, lost <-chan []*Task) (underWay []*Task) {
	d.stopping.Store(true)
	close(d.runs)
	collect := time.NewTicker(collectEvery)
	defer collect.Stop()
	ended := work.Done()
	var grace, writing <-chan time.Time
	for d.writeDeadLetters(); len(d.running) > 0 || d.givingUp.busy; d.writeDeadLetters() {
		d.publishStatus()
		if len(d.running) == 0 && writing == nil {
			writing = time.After(closeTimeout)
		}
		select {
		case r := <-d.finished:
			d.finish(r)
		case tasks := <-lost:
			d.lose(tasks)
		case apply := <-d.results:
			apply()
		case <-collect.C:
			d.collectRunning()
		case <-ended:
			ended, grace = nil, time.After(cancelGrace)
		case <-grace:
			d.collectRunning()
			for r := range d.running {
				t := r.tasks[r.current.Load()]
				t.UnderWay = true
				underWay = append(underWay, t)
			}
			d.publishStatus()
			return underWay
		case <-writing:
			return nil
		}
	}
	d.publishStatus()
	return nil
}
