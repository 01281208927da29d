package deadletter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/testlog"
)

// maintained is a queue under maintenance, in a bubble of time.
type maintained struct {
	*memorybroker.Broker
	*deadletter.Maintenance
	log    testlog.Output
	alerts []deadletter.Alert
	told   []time.Duration // since the start
	stop   func()
}

// maintain keeps dead letters for an hour, and alerts from three on, with a cycle a
// minute.
func maintain(t *testing.T, queue func(*memorybroker.Broker) deadletter.Queue, alert deadletter.AlertFunc) *maintained {
	t.Helper()
	m := &maintained{Broker: memorybroker.New()}
	began := time.Now()
	if alert == nil {
		alert = func(_ context.Context, a deadletter.Alert) error {
			m.alerts, m.told = append(m.alerts, a), append(m.told, time.Since(began))
			return nil
		}
	}
	m.Maintenance = deadletter.NewMaintenance(deadletter.MaintenanceConfig{
		Policies: []deadletter.Policy{{Queue: queue(m.Broker), Stream: stream, Retention: time.Hour, Threshold: 3}}, Candidate: "a", Alert: alert, Logger: m.log.Logger(),
	})
	return m
}

func itself(b *memorybroker.Broker) deadletter.Queue { return b }

func (m *maintained) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	m.stop = func() { cancel(); <-ended }
	synctest.Wait()
}

func (m *maintained) add(t *testing.T, n int) {
	t.Helper()
	for range n {
		require.NoError(t, m.AddDeadLetters(t.Context(), stream, [][]message.Field{{{Name: "data", Value: []byte("{}")}}}))
	}
}

func (m *maintained) depth(t *testing.T) int {
	t.Helper()
	state, err := m.State(t.Context(), stream)
	require.NoError(t, err)
	return state.Depth
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestDeadLettersAreTrimmedExactlyByAgeFromTheStartOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := maintain(t, itself, nil)
		m.add(t, 1)
		sleep(time.Hour + time.Second)
		m.add(t, 1)
		require.Equal(t, []deadletter.Count{{DLQStream: "shop::order:dlq"}}, m.Counts(), "there from the start")
		m.start(t)
		require.Equal(t, 1, m.depth(t), "the first cycle is at the start")
		require.Equal(t, int64(1), m.Counts()[0].Trimmed)
		require.Contains(t, m.log.String(), "trimmed=1")
		sleep(59 * time.Minute)
		require.Equal(t, 1, m.depth(t))
		sleep(2 * time.Minute)
		require.Zero(t, m.depth(t))
		require.Equal(t, int64(2), m.Counts()[0].Trimmed)
		m.stop()
	})
}

func TestAnAlertIsToldAtTheCrossingAndThenHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := maintain(t, itself, nil)
		m.add(t, 2)
		m.start(t)
		require.Empty(t, m.alerts, "one below the threshold")
		m.add(t, 1)
		sleep(50 * time.Minute)
		require.Equal(t, []deadletter.Alert{{DLQStream: "shop::order:dlq", Depth: 3, Threshold: 3}}, m.alerts)
		require.Equal(t, int64(50), m.Counts()[0].Alerts, "each cycle counts")
		for range 5 { // each comes before its predecessors are an hour old
			m.add(t, 3)
			sleep(30 * time.Minute)
		}
		require.Equal(t, []time.Duration{time.Minute, 61 * time.Minute, 121 * time.Minute, 181 * time.Minute}, m.told)
		require.Equal(t, 4, strings.Count(m.log.String(), "over its threshold"))

		sleep(2 * time.Hour) // all is trimmed
		n := len(m.told)
		m.add(t, 3)
		sleep(time.Minute)
		require.Len(t, m.told, n+1, "a new crossing is told at once")
		m.stop()
	})
}

// An alert counts as told when its receiver has it.
func TestAnAlertThatFailsIsToldAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		m := maintain(t, itself, func(context.Context, deadletter.Alert) error {
			if at = append(at, time.Since(began)); len(at) < 4 {
				return errors.New("no")
			}
			return nil
		})
		m.start(t)
		for range 4 { // none is an hour old
			m.add(t, 3)
			sleep(30 * time.Minute)
		}
		minutes := func(all ...int) (d []time.Duration) {
			for _, n := range all {
				d = append(d, time.Duration(n)*time.Minute)
			}
			return d
		}
		require.Equal(t, minutes(1, 2, 4, 8, 68), at)
		require.Equal(t, 2, strings.Count(m.log.String(), "over its threshold"))
		m.stop()
	})
}

// A receiver that hangs, or panics, costs no cycle.
func TestAnAlertThatHangsStallsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		m := maintain(t, itself, func(ctx context.Context, _ deadletter.Alert) error {
			if calls++; calls == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			panic("no")
		})
		m.add(t, 3)
		m.start(t)
		sleep(4 * time.Second)
		require.NotContains(t, m.log.String(), "failed")
		sleep(time.Second)
		require.Contains(t, m.log.String(), "deadline exceeded")
		sleep(30 * time.Minute)
		m.add(t, 3)
		sleep(45 * time.Minute)
		require.GreaterOrEqual(t, calls, 4, "it is called again, though not each minute")
		require.Less(t, calls, 10)
		require.Contains(t, m.log.String(), "it panicked: no")
		require.Positive(t, m.Counts()[0].Trimmed)
		m.stop()
	})
}

// following is a queue that another process maintains, or whose server is down.
type following struct {
	deadletter.Queue
	down atomic.Bool
}

func (f *following) Lead(context.Context, string, string, time.Duration) (bool, error) {
	if f.down.Load() {
		return false, errors.New("down")
	}
	return false, nil
}

func TestOneReplicaMaintainsAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &following{}
		m := maintain(t, func(b *memorybroker.Broker) deadletter.Queue { f.Queue = b; return f }, nil)
		m.add(t, 3)
		sleep(2 * time.Hour)
		m.start(t)
		require.Equal(t, 3, m.depth(t))
		require.Empty(t, m.alerts)
		f.down.Store(true)
		sleep(5 * time.Minute)
		f.down.Store(false)
		sleep(5 * time.Minute)
		require.Equal(t, 1, strings.Count(m.log.String(), "cannot maintain"), "once")
		require.Equal(t, 1, strings.Count(m.log.String(), "maintaining the dead-letter queue again"))
		m.stop()
	})
}

func TestAnAlertIsPosted(t *testing.T) {
	t.Parallel()
	var got string
	answer := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 200)
		n, _ := r.Body.Read(body)
		got = r.Method + " " + r.Header.Get("Content-Type") + " " + string(body[:n])
		w.WriteHeader(answer)
	}))
	defer server.Close()
	a := deadletter.Alert{DLQStream: "s:dlq", Depth: 5, Threshold: 3}
	require.NoError(t, deadletter.PostAlert(server.URL)(t.Context(), a))
	require.Equal(t, `POST application/json {"dlq_stream":"s:dlq","depth":5,"threshold":3}`, got)
	answer = http.StatusInternalServerError
	require.EqualError(t, deadletter.PostAlert(server.URL)(t.Context(), a), "it answered 500 Internal Server Error")
	server.Close()
	err := deadletter.PostAlert(strings.Replace(server.URL, "://", "://me:hunter2@", 1)+"/?key=hunter2")(t.Context(), a)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "hunter2")
}
