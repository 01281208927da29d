package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine"
)

// manyStreams is over how many streams the messages of manyStream are dealt out.
const manyStreams = 1000

// manyContestant has a subscription for each of many streams, in one engine.
func manyContestant() contestant {
	f := features{checksums: true, metrics: true, streams: manyStreams}
	return contestant{
		Name: "engine-1000-streams", Note: "ours as it comes, 1,000 subscriptions in one process", reads: manyStream, consume: consumeEngine(f),
		prepare: func(ctx context.Context, r *round) error {
			return r.eachStream(ctx, func(p redis.Pipeliner, stream string) { p.XGroupCreate(ctx, stream, r.group, "0") })
		},
		settled: func(ctx context.Context, r *round) (bool, error) {
			var replies []*redis.XPendingCmd
			err := r.eachStream(ctx, func(p redis.Pipeliner, stream string) {
				replies = append(replies, p.XPending(ctx, stream, r.group))
			})
			pending := int64(0)
			for _, reply := range replies {
				if reply.Err() == nil {
					pending += reply.Val().Count
				}
			}
			return pending == 0, err
		},
		verify: func(ctx context.Context, r *round) error {
			var errs []error
			for i := range manyStreams {
				errs = append(errs, drained(ctx, r.control, streamOf(r.stream, i), r.group))
			}
			errs = append(errs, r.eachStream(ctx, func(p redis.Pipeliner, stream string) { p.XGroupDestroy(ctx, stream, r.group) }))
			return errors.Join(errs...)
		},
	}
}

func streamOf(name string, i int) string { return fmt.Sprintf("%s-%d", name, i%manyStreams) }

// eachStream sends one command a stream, in one pipeline.
func (r *round) eachStream(ctx context.Context, command func(p redis.Pipeliner, stream string)) error {
	p := r.control.Pipeline()
	for i := range manyStreams {
		command(p, streamOf(r.stream, i))
	}
	_, err := p.Exec(ctx)
	return err
}

// overStreams has the one subscription's like on each of many streams.
func overStreams(one engine.Subscription, n int) []engine.Subscription {
	all := make([]engine.Subscription, n)
	for i := range all {
		all[i] = one
		all[i].Stream = streamOf(one.Stream, i)
	}
	return all
}
