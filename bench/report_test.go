package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func sample() report {
	return report{
		Machine: machine{Go: "go1.26", Redis: "7.0.15", OS: "linux/amd64", CPUs: 2}, Rounds: 3,
		Throughput: summarise([]score{
			{Name: bareName, Note: "loop", Messages: 10, Turns: []result{{100, 10, 30}, {200, 12, 31}, {150, 11, 32}}},
			{Name: "other", Note: "rival", Messages: 1, Turns: []result{{50, 20, 60}, {300, 22, 61}, {75, 21, 62}}},
		}, bareName),
		Latency: []delay{{Name: bareName, Samples: 5, P50: 100, P99: 200, Median: 1, Ratio: 1}},
		Idle:    &idleResult{Subscriptions: 1000, Seconds: 5, CPU: 0.0191, ServerCPU: 0.005},
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	scores := sample().Throughput
	require.InDelta(t, 1.0, scores[0].Ratio, 0)
	require.InDelta(t, 0.5, scores[1].Ratio, 0, "the median of 50/100, 300/200 and 75/150")
	require.InDelta(t, 75.0, scores[1].Median, 0)
	require.InDelta(t, 50.0, scores[1].Low, 0)
	require.InDelta(t, 300.0, scores[1].High, 0)
	require.InDelta(t, 21.0, scores[1].CPU, 0)
}

func TestWithoutTheBareLoopThereIsNoRatio(t *testing.T) {
	t.Parallel()
	alone := report{Rounds: 1, Throughput: summarise([]score{{Name: "other", Turns: []result{{50, 1, 1}}}}, bareName)}
	var out strings.Builder
	require.NoError(t, alone.print(&out, markdown))
	require.Contains(t, out.String(), "| other | 50 | 50 | 50 | – |")
}

func TestTheTableLinesUp(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, sample().print(&out, plain))
	require.Equal(t, strings.TrimPrefix(`
go1.26, Redis 7.0.15, linux/amd64, 2 CPUs; medians of 3 rounds

consume, decode, handle, acknowledge  msgs/s  low  high  × bare  CPU µs/msg  allocs/msg  messages  set-up
bare                                  150     100  200   1.00    11.0        31.0        10        loop
other                                 75      50   300   0.50    21.0        61.0        1         rival

Publish to handler, idle:

publish to handler  p50 µs  p99 µs  p50 × bare  p99 × bare  samples
bare                100     200     1.00        1.00        5

1000 idle subscriptions: 1.9 % of a core, Redis 0.5 %, over 5 s of silence.
`, "\n"), out.String())
}

func TestMarkdownHasOneRuleBelowItsHead(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, sample().print(&out, markdown))
	require.Contains(t, out.String(), "| publish to handler | p50 µs | p99 µs | p50 × bare | p99 × bare | samples |\n| --- | --- | --- | --- | --- | --- |\n| bare | 100 | 200 | 1.00 | 1.00 | 5 |\n")
}

func TestPercentilesStayWithinTheValues(t *testing.T) {
	t.Parallel()
	values := []float64{4, 1, 3, 2}
	require.InDelta(t, 3.0, percentile(values, 0.5), 0)
	require.InDelta(t, 4.0, percentile(values, 1), 0)
	require.InDelta(t, 2.5, median(values), 0)
}
