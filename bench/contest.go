package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/redis/go-redis/v9"
)

// The streams of a contest.
const (
	wholeStream = "bench::event"
	// tenthStream is for those who pay a round trip for each message.
	tenthStream = "bench::tenth"
	// hotStream has one aggregate a category, and spreadStream an aggregate for
	// each message.
	hotStream    = "bench::hot"
	spreadStream = "bench::spread"
	// manyStream stands for many streams.
	manyStream = "bench::many"
)

// contest is a filled server and what was measured on it.
type contest struct {
	addr    string
	control *redis.Client
	n       int                 // messages of the whole stream
	streams map[string][]string // name → messages, of those that are filled
	bodies  map[string][]body   // of the same
	turns   int                 // names groups
	// application is the URL that deliveries go to.
	application string
	log         *slog.Logger
}

// newContest fills the streams that every contest has. The caller closes it.
func newContest(ctx context.Context, s *server, n int, log *slog.Logger) (*contest, error) {
	c := &contest{addr: s.addr, control: s.client(4), log: log, n: n, streams: make(map[string][]string), bodies: make(map[string][]body)}
	return c, errors.Join(c.fill(ctx, wholeStream), c.fill(ctx, tenthStream))
}

// fill fills a stream, once.
func (c *contest) fill(ctx context.Context, stream string) error {
	if c.streams[stream] != nil {
		return nil
	}
	n, of := c.n, aggregates
	switch stream {
	case tenthStream:
		n = max(n/10, 1)
	case hotStream:
		of = 1
	case spreadStream:
		of = n
	}
	messages, err := events(n, of)
	if err != nil {
		return err
	}
	c.streams[stream] = messages
	if c.bodies[stream], err = bodiesOf(messages); err != nil {
		return err
	}
	return fill(ctx, c.control, messages, func(i int) string {
		if stream == manyStream {
			return streamOf(stream, i)
		}
		return stream
	})
}

func (c *contest) close() error { return c.control.Close() }

// round makes a fresh group, or a fresh queue, over a stream.
func (c *contest) round(stream string) *round {
	c.turns++
	return &round{
		addr: c.addr, application: c.application, control: c.control, stream: stream, bodies: c.bodies[stream],
		group: fmt.Sprintf("group-%d", c.turns), messages: c.streams[stream],
	}
}

// warm gives each contestant one turn that does not count.
func (c *contest) warm(ctx context.Context, field []contestant) error {
	for _, who := range field {
		from := tenthStream
		if who.reads == manyStream {
			from = manyStream
		}
		if err := c.fill(ctx, from); err != nil {
			return err
		}
		if _, err := who.turn(ctx, c.round(from)); err != nil {
			return err
		}
	}
	return nil
}

// race gives each contestant a turn a round. The order moves on by one each
// round, so that no one always follows the same neighbour.
func (c *contest) race(ctx context.Context, field []contestant, rounds int) ([]score, error) {
	scores := make([]score, len(field))
	for i, who := range field {
		if err := c.fill(ctx, who.source()); err != nil {
			return nil, err
		}
		scores[i] = score{Name: who.Name, Note: who.Note, Messages: len(c.streams[who.source()])}
	}
	for r := range rounds {
		for k := range field {
			i := (k + r) % len(field)
			got, err := field[i].turn(ctx, c.round(field[i].source()))
			if err != nil {
				return nil, fmt.Errorf("round %d: %w", r+1, err)
			}
			scores[i].Turns = append(scores[i].Turns, got)
			c.log.Info("turn", "round", r+1, "contestant", field[i].Name, "rate", int(got.Rate))
		}
	}
	return scores, nil
}

func (c contestant) source() string { return cmp.Or(c.reads, wholeStream) }

// bestAsynq tries each concurrency twice on the tenth and returns the best.
func (c *contest) bestAsynq(ctx context.Context) (int, error) {
	rates := map[int]float64{}
	for range 2 {
		for _, concurrency := range asynqConcurrencies {
			got, err := asynqContestant(concurrency).turn(ctx, c.round(tenthStream))
			if err != nil {
				return 0, err
			}
			rates[concurrency] = max(rates[concurrency], got.Rate)
			c.log.Info("trial", "contestant", asynqName, "concurrency", concurrency, "rate", int(got.Rate))
		}
	}
	return slices.MaxFunc(asynqConcurrencies, func(a, b int) int { return cmp.Compare(rates[a], rates[b]) }), nil
}
