package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// idleResult is what many subscriptions cost while nothing is published, and how
// long a message takes to any of them.
type idleResult struct {
	Subscriptions int     `json:"subscriptions"`
	Seconds       float64 `json:"seconds"` // of silence
	// CPU and ServerCPU are the shares of a core that this process and Redis took
	// in the silence.
	CPU       float64 `json:"cpu"`
	ServerCPU float64 `json:"server_cpu"`
	// Latency is of a bare blocking read, and of the subscriptions, one after the
	// other.
	Latency []delay `json:"latency"`
}

// idleSettle is the pause before a publish to one of the many.
const idleSettle = 10 * time.Millisecond

// warmUp is how long the subscriptions get to come to rest.
const warmUp = 5 * time.Second

// idle runs manyStreams subscriptions in one engine, as it comes but for the
// metrics, first in silence for so many seconds, then with samples messages, each
// to a stream of its own.
func (c *contest) idle(ctx context.Context, seconds, samples int) (_ *idleResult, err error) {
	messages, err := events(max(samples, 1), aggregates)
	if err != nil {
		return nil, err
	}
	r, arrived := c.round("bench::silent"), make(chan time.Time, 1)
	r.handle = func(string, []byte) { arrived <- time.Now() }
	err = r.eachStream(ctx, func(p redis.Pipeliner, stream string) { p.XGroupCreateMkStream(ctx, stream, r.group, "0") })
	if err != nil {
		return nil, fmt.Errorf("groups of the idle streams: %w", err)
	}
	consuming, stop := context.WithCancel(ctx)
	g, consuming := errgroup.WithContext(consuming)
	g.Go(func() error { return consumeEngine(features{checksums: true, streams: manyStreams})(consuming, r) })
	defer func() {
		stop()
		err = errors.Join(err, g.Wait())
	}()

	if err := sleep(consuming, warmUp); err != nil {
		return nil, err
	}
	out := &idleResult{Subscriptions: manyStreams}
	serverFrom, err := c.serverCPU(ctx)
	if err != nil {
		return nil, err
	}
	from := now()
	if err := sleep(consuming, time.Duration(seconds)*time.Second); err != nil {
		return nil, err
	}
	to := now()
	serverTo, err := c.serverCPU(ctx)
	if err != nil {
		return nil, err
	}
	silence := to.at.Sub(from.at)
	out.Seconds = silence.Seconds()
	out.CPU, out.ServerCPU = (to.cpu-from.cpu).Seconds()/out.Seconds, (serverTo-serverFrom).Seconds()/out.Seconds
	if samples == 0 {
		return out, nil
	}
	out.Latency, err = c.idleLatency(consuming, g, r, arrived, messages)
	return out, err
}

// idleLatency publishes each message to the bare loop and to the next of the
// many streams, turn and turn about.
func (c *contest) idleLatency(ctx context.Context, g *errgroup.Group, r *round, arrived chan time.Time, messages []string) ([]delay, error) {
	probes, err := c.probes(ctx, "bench::silent-", []contestant{{Name: bareName, consume: consumeBare}})
	if err != nil {
		return nil, err
	}
	bare := probes[0]
	g.Go(func() error { return bare.consume(ctx, bare.round) })
	many := &probe{contestant: contestant{Name: fmt.Sprintf("engine, any of %d", manyStreams)}, arrived: arrived}
	const step = 37 // prime to the number of streams: neighbours do not follow each other
	for i, text := range messages {
		if err := sleep(ctx, idleSettle); err != nil {
			return nil, err
		}
		if err := bare.publish(ctx, text); err != nil {
			return nil, err
		}
		if err := sleep(ctx, idleSettle); err != nil {
			return nil, err
		}
		one := *r
		one.stream = streamOf(r.stream, i*step)
		many.round = &one
		if err := many.publish(ctx, text); err != nil {
			return nil, err
		}
	}
	return delays([]*probe{bare, many}), nil
}

// serverCPU is the time that the server has used.
func (c *contest) serverCPU(ctx context.Context) (time.Duration, error) {
	text, err := c.control.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, fmt.Errorf("processor time of the server: %w", err)
	}
	total := time.Duration(0)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_sys" && name != "used_cpu_user" {
			continue
		}
		used, err := time.ParseDuration(value + "s")
		if err != nil {
			return 0, fmt.Errorf("%s of the server: %w", name, err)
		}
		total += used
	}
	return total, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
