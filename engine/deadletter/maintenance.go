package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Policy is how one queue is maintained.
type Policy struct {
	// Queue is the broker's that has the stream. Required.
	Queue Queue
	// Stream is the stream whose queue it is.
	Stream string
	// Retention is how long an entry is kept.
	Retention time.Duration
	// Threshold is the depth from which on there are alerts.
	Threshold int
}

// Alert is what is told of a queue that is too deep.
type Alert struct {
	DLQStream string `json:"dlq_stream"`
	Depth     int    `json:"depth"`
	Threshold int    `json:"threshold"`
}

// AlertFunc gets an alert. Its context ends after 5 s, or when maintenance ends.
type AlertFunc func(ctx context.Context, a Alert) error

// alertTimeout bounds one call of an AlertFunc.
const alertTimeout = 5 * time.Second

// MaintenanceConfig is what maintenance does.
type MaintenanceConfig struct {
	// Policies are those of the queues to maintain; without any nothing is.
	Policies []Policy
	// Every is the time between two cycles, of which the first is at the start;
	// default a minute.
	Every time.Duration
	// Repeat is after how long an alert that lasts is told again; default an hour.
	Repeat time.Duration
	// Candidate names this process among its replicas, of which one maintains a queue.
	Candidate string
	// Alert is called where a queue has crossed its threshold, and then after Repeat;
	// nil is not. One that fails is called again after Every, and then after twice the
	// time each, up to Repeat. One that hangs holds up nothing but its own next call.
	Alert AlertFunc
	// Logger is where it logs: never nil.
	Logger *slog.Logger
}

// Maintenance trims dead-letter queues by age and alerts by their depth.
type Maintenance struct {
	config  MaintenanceConfig
	log     *slog.Logger
	figures []*queueFigures
}

// queueFigures are what was done to one queue, by this process.
type queueFigures struct {
	trimmed, alerts atomic.Int64
	failing         bool         // the last cycle failed
	calling         atomic.Bool  // an alert is being told
	failures        atomic.Int64 // calls of the alert function in a row that failed
}

// NewMaintenance returns the maintenance of queues.
func NewMaintenance(c MaintenanceConfig) *Maintenance {
	if c.Every <= 0 {
		c.Every = time.Minute
	}
	if c.Repeat <= 0 {
		c.Repeat = time.Hour
	}
	m := &Maintenance{config: c}
	if c.Logger != nil {
		m.log = c.Logger.With("component", "deadletter")
	}
	for range c.Policies {
		m.figures = append(m.figures, &queueFigures{})
	}
	return m
}

// Run runs a cycle at once and then one after another, until ctx ends. It waits for
// the alerts that are being told, a second at most.
func (m *Maintenance) Run(ctx context.Context) {
	if len(m.config.Policies) == 0 {
		return
	}
	var calls sync.WaitGroup
	tick := time.NewTicker(m.config.Every)
	defer tick.Stop()
	for {
		for i, p := range m.config.Policies {
			err := m.cycle(ctx, p, m.figures[i], &calls)
			if ctx.Err() != nil {
				break
			}
			was := m.figures[i].failing
			m.figures[i].failing = err != nil
			switch {
			case err != nil && !was:
				m.log.WarnContext(ctx, "cannot maintain a dead-letter queue; trying again", "dlq_stream", QueueOf(p.Stream), "error", err)
			case err == nil && was:
				m.log.InfoContext(ctx, "maintaining the dead-letter queue again", "dlq_stream", QueueOf(p.Stream))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended := make(chan struct{})
			go func() { calls.Wait(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(time.Second):
			}
			return
		}
	}
}

// cycle maintains one queue, where this process leads.
func (m *Maintenance) cycle(ctx context.Context, p Policy, f *queueFigures, calls *sync.WaitGroup) error {
	q := p.Queue
	// Another replica takes over when this one has missed two cycles.
	if leads, err := q.Lead(ctx, p.Stream, m.config.Candidate, 2*m.config.Every+time.Second); err != nil || !leads {
		return err
	}
	trimmed, err := q.TrimDeadLetters(ctx, p.Stream, time.Now().Add(-p.Retention))
	if err != nil {
		return err
	}
	if trimmed > 0 {
		f.trimmed.Add(int64(trimmed))
		m.log.WarnContext(ctx, "dead letters were trimmed by their age: they are lost", "dlq_stream", QueueOf(p.Stream),
			"by", "maintenance", "older_than", p.Retention.String(), "trimmed", trimmed)
	}
	state, err := q.State(ctx, p.Stream)
	if err != nil {
		return err
	}
	crossed := state.Depth >= p.Threshold
	if crossed {
		f.alerts.Add(1)
	}
	hold := m.config.Repeat
	if m.config.Alert != nil { // until it is known that it was told
		hold = m.retryAfter(f.failures.Load())
	}
	due, err := q.AlertDue(ctx, p.Stream, crossed, hold)
	if err != nil || !due {
		return err
	}
	a := Alert{DLQStream: QueueOf(p.Stream), Depth: state.Depth, Threshold: p.Threshold}
	if f.failures.Load() == 0 {
		m.log.WarnContext(ctx, "dead-letter queue is over its threshold", "dlq_stream", a.DLQStream, "depth", a.Depth, "threshold", a.Threshold)
	}
	if m.config.Alert == nil {
		return nil
	}
	if f.calling.Swap(true) {
		m.log.WarnContext(ctx, "alert_callback is not called: its last call has not returned", "dlq_stream", a.DLQStream)
		return nil
	}
	calls.Go(func() {
		defer f.calling.Store(false)
		if err := m.tell(ctx, a); err != nil {
			again := m.retryAfter(f.failures.Add(1) - 1)
			m.log.WarnContext(ctx, "alert_callback failed; calling it again", "dlq_stream", a.DLQStream, "error", err, "after", again.String())
			return
		}
		f.failures.Store(0)
		if err := q.AlertTold(ctx, p.Stream, m.config.Repeat); err != nil {
			m.log.WarnContext(ctx, "cannot note that an alert was told: it is told again", "dlq_stream", a.DLQStream, "error", err)
		}
	})
	return nil
}

// retryAfter is how long an alert is held that fails after so many others: it is told
// in the cycle that comes then, so it ends a little before.
func (m *Maintenance) retryAfter(failures int64) time.Duration {
	const mostDoubled = 20
	after := m.config.Every<<min(failures, mostDoubled) - m.config.Every/4
	return max(min(after, m.config.Repeat), alertTimeout+time.Second)
}

// tell calls the alert function; one that panics has failed.
func (m *Maintenance) tell(ctx context.Context, a Alert) (err error) {
	ctx, cancel := context.WithTimeout(ctx, alertTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panicked: %v", v)
		}
	}()
	return m.config.Alert(ctx, a)
}

// Count is what this process has done to one queue.
type Count struct {
	DLQStream string
	// Trimmed is how many dead letters were trimmed, and Alerts how many cycles found
	// the queue at its threshold or above.
	Trimmed, Alerts int64
}

// Counts are those of all queues, each there from the start with zero.
func (m *Maintenance) Counts() []Count {
	var all []Count
	for i, p := range m.config.Policies {
		all = append(all, Count{QueueOf(p.Stream), m.figures[i].trimmed.Load(), m.figures[i].alerts.Load()})
	}
	return all
}

// PostAlert returns a function that posts alerts as JSON to an http(s) URL, which no
// error repeats: it may hold a secret.
func PostAlert(to string) AlertFunc {
	return func(ctx context.Context, a Alert) error {
		body, err := json.Marshal(a)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
		if err != nil {
			return errors.New("its URL cannot be used")
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			if wrapped, ok := errors.AsType[*url.Error](err); ok {
				err = wrapped.Err
			}
			return err
		}
		defer response.Body.Close()
		if response.StatusCode/100 != 2 {
			return fmt.Errorf("it answered %s", response.Status)
		}
		return nil
	}
}
