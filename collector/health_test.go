package collector_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/collector"
)

// recorded is a snapshot of a history.
type recorded struct {
	T, Lag, Pending, Read float64
	OldestPending         float64 `json:"oldest_pending"`
	Seen                  any
	Paused                float64
}

func (r recorded) figures() collector.Figures {
	sub := collector.Subscription{
		Watch: collector.Watch{Domain: "shop", Handler: "Mailer", Group: "Mailer", Stream: "shop::order", Type: "stream"},
		Lag:   collector.Known(r.Lag), Pending: collector.Known(r.Pending), EntriesRead: collector.Known(r.Read),
		OldestPendingSeconds: collector.Known(r.OldestPending), Paused: collector.Known(r.Paused),
	}
	switch seen := r.Seen.(type) {
	case nil:
		sub.LastSeenSeconds = collector.Known(1)
	case float64:
		sub.LastSeenSeconds = collector.Known(seen)
	}
	return collector.Figures{Subscriptions: []collector.Subscription{sub}}
}

// scripted is a source that tells a history.
type scripted struct{ now *recorded }

func (scripted) Name() string { return "broker:default" }

func (s scripted) Collect(context.Context) (collector.Figures, error) { return s.now.figures(), nil }

// judged plays a history and returns each snapshot's subscription.
func judged(t *testing.T, rows []recorded) (all []collector.Subscription) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var now recorded
		c := collector.New(collector.Config{Sources: []collector.Source{scripted{&now}}})
		began := time.Now()
		for _, now = range rows {
			time.Sleep(time.Until(began.Add(time.Duration(now.T * float64(time.Second)))))
			s, err := c.Snapshot(t.Context())
			require.NoError(t, err)
			require.Len(t, s.Parts[0].Subscriptions, 1)
			all = append(all, s.Parts[0].Subscriptions[0])
		}
		require.NoError(t, c.Close(context.Background()))
	})
	return all
}

func TestHistoriesAreNamedRightly(t *testing.T) {
	files, err := filepath.Glob("testdata/health/*.jsonl")
	require.NoError(t, err)
	require.Len(t, files, 10)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			lines := bufio.NewScanner(bytes.NewReader(text))
			require.True(t, lines.Scan())
			var want struct {
				Health       collector.Health
				DrainSeconds *float64 `json:"drain_seconds"`
			}
			require.NoError(t, json.Unmarshal(lines.Bytes(), &want))
			var rows []recorded
			for lines.Scan() {
				var r recorded
				require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
				rows = append(rows, r)
			}
			all := judged(t, rows)
			require.Empty(t, all[0].Health, "one snapshot says nothing")
			last := all[len(all)-1]
			require.Equal(t, want.Health, last.Health)
			if want.DrainSeconds == nil {
				require.Equal(t, collector.Value{}, last.DrainSeconds)
			} else {
				require.InDelta(t, *want.DrainSeconds, last.DrainSeconds.V, 0.001)
			}
		})
	}
}

func TestHealthIsKnownAfterHalfAMinute(t *testing.T) {
	all := judged(t, []recorded{{T: 0, Lag: 5, Read: 1}, {T: 27, Lag: 5, Read: 1}, {T: 30, Lag: 5, Read: 1}})
	require.Empty(t, all[1].Health)
	require.Equal(t, collector.HealthStalled, all[2].Health)
}

func TestALagThatTouchedZeroBetweenTwoMinutesCounts(t *testing.T) {
	all := judged(t, []recorded{
		{T: 0, Lag: 5, Read: 10}, {T: 15, Lag: 0, Read: 20}, {T: 30, Lag: 6, Read: 30}, {T: 60, Lag: 7, Read: 40}, {T: 75, Lag: 8, Read: 50},
	})
	require.Equal(t, collector.HealthOK, all[4].Health)
}

func TestTenMinutesAgoIsForgotten(t *testing.T) {
	rows := []recorded{{T: 0, Lag: 0, Read: 10}}
	for at := 60.0; at <= 720; at += 60 {
		rows = append(rows, recorded{T: at, Lag: at, Read: 10 + at})
	}
	all := judged(t, rows)
	require.Equal(t, collector.HealthOK, all[10].Health, "it was not behind ten minutes before")
	require.Equal(t, collector.HealthSlow, all[11].Health)
}

func TestASubscriptionWithoutConsumersIsStoppedOnceItHasWork(t *testing.T) {
	none := any(math.Inf(1))
	all := judged(t, []recorded{{T: 0, Seen: none}, {T: 40, Seen: none}, {T: 50, Lag: 1, Seen: none}})
	require.Equal(t, collector.HealthOK, all[1].Health)
	require.Equal(t, collector.HealthStopped, all[2].Health)
}
