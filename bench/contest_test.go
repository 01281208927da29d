package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(applicationVariable) != "" {
		if err := beApplication(); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(testserver.Main(m))
}

func TestARunMeasuresEveryContestant(t *testing.T) {
	o, err := parse([]string{"-messages", "1000", "-rounds", "1", "-latency", "10", "-idle", "1", "-json"})
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(t.Context(), o, &out))
	var got report
	require.NoError(t, json.Unmarshal([]byte(out.String()), &got))
	require.Len(t, got.Throughput, len(field(1))-len(deliveries()))
	require.Len(t, got.Delivery, len(deliveries()))
	for _, s := range slices.Concat(got.Throughput, got.Delivery) {
		require.Positive(t, s.Median, s.Name)
		require.Positive(t, s.Ratio, s.Name)
	}
	require.Equal(t, manyStreams, got.Idle.Subscriptions)
	require.Positive(t, got.Idle.CPU)
	require.Positive(t, got.Idle.ServerCPU)
	require.Len(t, got.Latency, 2)
	got.Latency = append(got.Latency, got.Idle.Latency...)
	require.Len(t, got.Latency, 4)
	for _, d := range got.Latency {
		require.Equal(t, 10, d.Samples, d.Name)
		require.Positive(t, d.P50, d.Name)
	}
}

func TestAContestantThatCheatsFailsTheRun(t *testing.T) {
	s, err := startServer(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	c, err := newContest(t.Context(), s, 100, options{}.logger())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.close()) })
	handleAll := func(r *round) {
		for _, text := range r.messages {
			_ = decodeAndHandle(r, []byte(text))
		}
	}
	for name, cheat := range map[string]struct {
		consume func(context.Context, *round) error
		want    string
	}{
		"handles without reading": {func(ctx context.Context, r *round) error {
			handleAll(r)
			<-ctx.Done()
			return nil
		}, "100 unread"},
		"handles twice": {func(ctx context.Context, r *round) error {
			handleAll(r)
			return consumeBare(ctx, r)
		}, "100 more than once|100 unread"}, // by how far the second time gets before it is over
		"gives up": {func(context.Context, *round) error {
			return errors.New("tired")
		}, "ended early: tired"},
		"stops without a word": {func(context.Context, *round) error {
			return nil
		}, "ended early: without an error"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := contestant{Name: name, consume: cheat.consume}.turn(t.Context(), c.round(wholeStream))
			require.Error(t, err)
			require.Regexp(t, cheat.want, err.Error())
		})
	}
}

func TestWhatIsPendingIsNotDone(t *testing.T) {
	s, err := startServer(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	c, err := newContest(t.Context(), s, 10, options{}.logger())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.close()) })
	r := c.round(wholeStream)
	require.NoError(t, c.control.XGroupCreate(t.Context(), r.stream, r.group, "0").Err())
	entries, err := read(c.control.XReadGroup(t.Context(), r.readArgs(-1)))
	require.NoError(t, err)
	require.Len(t, entries, 10)
	done, err := acknowledged(t.Context(), c.control, r.stream, r.group)
	require.NoError(t, err)
	require.False(t, done)
	require.ErrorContains(t, drained(t.Context(), c.control, r.stream, r.group), "10 entries pending")
	require.ErrorContains(t, drained(t.Context(), c.control, r.stream, "stranger"), "does not exist")
}

func TestFlagsThatCannotWorkAreNamed(t *testing.T) {
	t.Parallel()
	for flag, args := range map[string][]string{
		"--messages":   {"-messages", "0"},
		"--rounds":     {"-rounds", "0"},
		"--latency":    {"-latency", "-1"},
		"--idle":       {"-idle", "-1"},
		"--cpuprofile": {"-cpuprofile", "x"},
		"--markdown":   {"-markdown", "-json"},
	} {
		_, err := parse(args)
		require.ErrorContains(t, err, flag)
	}
	_, err := choose(field(1), []string{"nobody"})
	require.ErrorContains(t, err, `no contestant "nobody"; there are bare,`)
}

func TestOnlyKeepsTheBareLoopToCompareWith(t *testing.T) {
	t.Parallel()
	kept, err := choose(field(1), []string{"watermill"})
	require.NoError(t, err)
	require.Len(t, kept, 2)
	require.Equal(t, bareName, kept[0].Name)
	require.Equal(t, "watermill", kept[1].Name)
}
