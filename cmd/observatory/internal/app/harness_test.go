package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/cmd/observatory/internal/app"
	"github.com/observatory-go/observatory/cmd/observatory/internal/shoptest"
	"github.com/observatory-go/observatory/engine/testlog"
	"github.com/observatory-go/observatory/engine/testserver"
)

// limit bounds what a test waits for; it is never waited out.
const limit = time.Minute

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// running is an app that runs until the test ends.
type running struct {
	t       *testing.T
	app     *app.App
	printed testlog.Output
	metrics string // the URL that it printed
	health  string // host:port
	stop    context.CancelFunc
	ended   chan struct{} // closed when Run has returned; err is set then
	err     error
}

// start runs an app on free ports and returns when it has printed its addresses. At
// the end of the test it must stop without an error.
func start(t *testing.T, o app.Options) *running {
	t.Helper()
	r := &running{t: t, health: testserver.FreeAddress(t), ended: make(chan struct{})}
	o.Stderr, o.ListenAddress, o.HealthAddress = &r.printed, "127.0.0.1:0", r.health
	var err error
	r.app, err = app.New(context.Background(), o)
	require.NoError(t, err)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		r.err = r.app.Run(ctx)
	}()
	t.Cleanup(func() { require.NoError(t, r.halt()) })
	printed := regexp.MustCompile(`(?m)^  metrics +(http\S+)$`)
	r.until("it prints where the metrics are", func() bool {
		found := printed.FindStringSubmatch(r.printed.String())
		if found != nil {
			r.metrics = found[1]
		}
		return found != nil
	})
	return r
}

// halt stops the app and returns what Run returned; again, the same.
func (r *running) halt() error {
	r.stop()
	<-r.ended
	return r.err
}

// until polls until the condition holds: for what has no event to wait for.
func (r *running) until(what string, yes func() bool) {
	r.t.Helper()
	expired := time.After(limit)
	for !yes() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-r.ended:
			require.FailNow(r.t, "the app ended", "before: %s\n%v\n%s", what, r.err, &r.printed)
		case <-expired:
			require.FailNow(r.t, "never: "+what, "%s", &r.printed)
		}
	}
}

// next waits for what comes from a channel.
func next[T any](r *running, from <-chan T) (got T) {
	r.t.Helper()
	select {
	case got = <-from:
	case <-r.ended:
		require.FailNow(r.t, "the app ended", "%v\n%s", r.err, &r.printed)
	case <-time.After(limit):
		require.FailNow(r.t, "nothing came", "%s", &r.printed)
	}
	return got
}

// scrape returns the exposition.
func (r *running) scrape() string {
	r.t.Helper()
	status, body := shoptest.Get(r.t, r.metrics)
	require.Equal(r.t, http.StatusOK, status, "%s", body)
	return body
}

// figure is the value of the one series of a metric that has these labels
// (name, value, …), and whether there is one. Of a histogram it is the count.
func (r *running) figure(metric string, labels ...string) (value float64, known bool) {
	r.t.Helper()
	return figureOf(r.t, r.scrape(), metric, labels...)
}

// becomes waits until a figure has a value.
func (r *running) becomes(want float64, metric string, labels ...string) {
	r.t.Helper()
	r.until(fmt.Sprintf("%s%q is %v", metric, labels, want), func() bool {
		got, known := r.figure(metric, labels...)
		return known && got == want
	})
}

func figureOf(t *testing.T, text, metric string, labels ...string) (value float64, known bool) {
	t.Helper()
	series := seriesOf(t, text, metric, labels...)
	require.LessOrEqual(t, len(series), 1, "several series of %s%q", metric, labels)
	if len(series) == 0 {
		return 0, false
	}
	m := series[0]
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
}

func seriesOf(t *testing.T, text, metric string, labels ...string) (found []*dto.Metric) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	for _, m := range families[metric].GetMetric() {
		if matches(labelsIn(m), labels) {
			found = append(found, m)
		}
	}
	return found
}

func labelsIn(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range m.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

// matches reports whether all of the wanted (name, value, …) are among the labels.
func matches(labels map[string]string, wanted []string) bool {
	for i := 0; i < len(wanted); i += 2 {
		if labels[wanted[i]] != wanted[i+1] {
			return false
		}
	}
	return true
}

// broker is the part of a file that names the Redis.
func broker(url string) string {
	return fmt.Sprintf("[brokers.default]\nprovider = \"redis\"\nURI = %q\n", url)
}
