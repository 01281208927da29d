package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// delay is how long one contestant takes from publish to handler, in µs.
type delay struct {
	Name    string  `json:"name"`
	Samples int     `json:"samples"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	// Median and Ratio are the p50 and the p99 over the bare loop's.
	Median float64 `json:"median"`
	Ratio  float64 `json:"ratio"`
}

// settle is the pause before each publish: time for the acknowledgement of the
// one before, and for the consumer to block in its next read.
const settle = 3 * time.Millisecond

// probe is a consumer that is idle but for our publishes.
type probe struct {
	contestant
	*round
	arrived chan time.Time
	samples []float64
}

// latency publishes n messages to each contestant, one at a time, turn and turn
// about, to consumers that run side by side and are otherwise idle.
func (c *contest) latency(ctx context.Context, field []contestant, n int) (_ []delay, err error) {
	probes, err := c.probes(ctx, "bench::idle-", field)
	if err != nil {
		return nil, err
	}
	messages, err := events(n, aggregates)
	if err != nil {
		return nil, err
	}
	consuming, stop := context.WithCancel(ctx)
	g, consuming := errgroup.WithContext(consuming)
	for _, p := range probes {
		g.Go(func() error { return p.consume(consuming, p.round) })
	}
	defer func() {
		stop()
		err = errors.Join(err, g.Wait())
	}()
	for _, text := range messages {
		for _, p := range probes {
			if err := p.publish(consuming, text); err != nil {
				return nil, err
			}
		}
	}
	return delays(probes), nil
}

// probes are a consumer each, on a new stream of this prefix and its name.
func (c *contest) probes(ctx context.Context, prefix string, field []contestant) ([]*probe, error) {
	probes := make([]*probe, len(field))
	for i, who := range field {
		r := c.round(prefix + who.Name)
		p := &probe{contestant: who, round: r, arrived: make(chan time.Time, 1)}
		r.handle = func(string, []byte) { p.arrived <- time.Now() }
		if err := c.control.XGroupCreateMkStream(ctx, r.stream, r.group, "0").Err(); err != nil {
			return nil, fmt.Errorf("group on %s: %w", r.stream, err)
		}
		probes[i] = p
	}
	return probes, nil
}

func (p *probe) publish(ctx context.Context, text string) error {
	time.Sleep(settle)
	from := time.Now()
	add := &redis.XAddArgs{Stream: p.stream, Values: []string{dataField, text}}
	if err := p.control.XAdd(ctx, add).Err(); err != nil {
		return fmt.Errorf("publish to %s: %w", p.stream, err)
	}
	select {
	case at := <-p.arrived:
		p.samples = append(p.samples, float64(at.Sub(from).Nanoseconds())/1e3)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s: a published message did not arrive", p.Name)
	}
}

func delays(probes []*probe) []delay {
	out := make([]delay, len(probes))
	for i, p := range probes {
		p50, p99 := percentile(p.samples, 0.50), percentile(p.samples, 0.99)
		bare := probes[0].samples
		out[i] = delay{
			Name: p.Name, Samples: len(p.samples), P50: p50, P99: p99,
			Median: p50 / percentile(bare, 0.50), Ratio: p99 / percentile(bare, 0.99),
		}
	}
	return out
}
