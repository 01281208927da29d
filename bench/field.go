package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The names that the program itself needs to know.
const (
	bareName  = "bare" // the others are compared with it
	asynqName = "asynq"
)

// field is who competes. asynq is set up with its best concurrency.
func field(asynqConcurrency int) []contestant {
	own := engineContestants()
	peers := []contestant{
		{Name: "watermill", Note: "redisstream, defaults", reads: tenthStream, consume: consumeWatermill(1)},
		{Name: "watermill-32", Note: "redisstream, 32 subscribers", reads: tenthStream, consume: consumeWatermill(32)},
		asynqContestant(asynqConcurrency),
	}
	return slices.Concat([]contestant{
		{Name: bareName, Note: "go-redis: read 100, decode, handle, one XACK", consume: consumeBare},
		{Name: "bare-pipelined", Note: "the same, XACK in the next read's pipeline", consume: consumePipelined},
	}, own, peers, deliveries())
}

func asynqContestant(concurrency int) contestant {
	return contestant{
		Name: asynqName, Note: fmt.Sprintf("concurrency %d, the best of %v", concurrency, asynqConcurrencies),
		reads: tenthStream, consume: consumeAsynq(concurrency), prepare: enqueue, settled: completed,
		verify: func(ctx context.Context, r *round) error {
			done, err := completed(ctx, r)
			if err == nil && !done {
				err = fmt.Errorf("queue %s is not empty", r.group)
			}
			return err
		},
	}
}

// idlers are those whose latency is worth knowing: the bare loop and our engine
// as it comes.
func idlers(competing []contestant) []contestant {
	return slices.DeleteFunc(slices.Clone(competing), func(c contestant) bool {
		return c.Name != bareName && c.Name != engineName
	})
}

// choose keeps those named, in their order, and the bare loops, which the ratios
// need. No name keeps all.
func choose(all []contestant, names []string) ([]contestant, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--only: no contestant %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	delivering := slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "http-") })
	return slices.DeleteFunc(all, func(c contestant) bool {
		needed := c.Name == bareName || c.Name == httpBareName && delivering
		return !needed && !slices.Contains(names, c.Name)
	}), nil
}
