package gauges_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/collector"
	"github.com/observatory-go/observatory/gauges"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// everyFigure is a snapshot with every figure, known and unknown.
func everyFigure() *collector.Snapshot {
	known := collector.Known
	order := collector.Watch{Domain: "Shop", Handler: "OrderMailer", Group: "shop.OrderMailer", Stream: "shop::order", Type: "stream"}
	payments := collector.Watch{Domain: "Shop", Handler: "Payments", Group: "shop.Payments", Stream: "payments", Type: "broker"}
	return &collector.Snapshot{
		Taken: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		Parts: []collector.Part{{
			Source: "broker:default", Duration: 12 * time.Millisecond,
			Figures: collector.Figures{
				Subscriptions: []collector.Subscription{{
					Watch: order, Lag: known(3), LagExact: known(1), LagSeconds: known(1.5), Pending: known(2),
					OldestUnfinishedSeconds: known(60), DeadLetters: known(4), EntriesRead: known(100),
				}, {
					Watch: payments, Pending: known(1), DeadLetters: known(0),
				}},
				Queues: []collector.Queue{
					{Domain: "Shop", Stream: "shop::order:dlq", Depth: known(4)},
					{Domain: "Shop", Stream: "payments:dlq"},
				},
				Streams: []collector.Stream{{Domain: "Shop", Stream: "shop::order", EntriesAdded: known(103)}},
				Brokers: []collector.Broker{{
					Domain: "Shop", Name: "default", Up: known(1), MemoryBytes: known(2482720),
					ConnectedClients: known(3), OpsPerSecond: known(50), PoolActive: known(7),
				}},
			},
		}, {
			Source: "database:default", Duration: 2 * time.Second, Err: errors.New("refused"),
			Figures: collector.Figures{
				Pools: []collector.Pool{{
					Domain: "Shop", Provider: "default", DatabaseType: "postgresql",
					Size: 5, CheckedOut: 1, Overflow: -4, CheckedIn: 0,
				}},
				Outboxes: []collector.Outbox{{Domain: "Shop", Pending: known(8)}},
			},
		}},
	}
}

// fixed hands out one snapshot, or an error.
type fixed struct {
	snapshot *collector.Snapshot
	err      error
}

func (f fixed) Snapshot(context.Context) (*collector.Snapshot, error) { return f.snapshot, f.err }

func scrape(t testing.TB, h http.Handler, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	return w
}

func serve(snapshots gauges.Snapshots) http.Handler {
	return gauges.Handler(gauges.Config{Snapshots: snapshots, Logger: quiet})
}

// samples parses an exposition into values by `name{labels}`.
func samples(t testing.TB, text string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	got := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, pair := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", pair.GetName(), pair.GetValue()))
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			got[name+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return got
}
