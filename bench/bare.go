package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// batch is how many entries a read takes, ours included.
const batch = 100

// block is how long a read waits for entries. go-redis does not interrupt one.
const block = 200 * time.Millisecond

// consumeBare is the loop that one writes by hand against go-redis: read a
// hundred, decode and handle each, acknowledge them with one XACK.
func consumeBare(ctx context.Context, r *round) error {
	client := dial(r.addr, 2)
	defer client.Close()
	args := r.readArgs(block)
	ids := make([]string, 0, batch)
	for ctx.Err() == nil {
		entries, err := read(client.XReadGroup(ctx, args))
		if err != nil {
			return unlessDone(ctx, err)
		}
		if len(entries) == 0 {
			continue
		}
		if ids, err = handleBare(r, entries, ids[:0]); err != nil {
			return err
		}
		if err := client.XAck(ctx, r.stream, r.group, ids...).Err(); err != nil {
			return unlessDone(ctx, err)
		}
	}
	return nil
}

// consumePipelined saves the round trip of the XACK: it rides in the next
// read's pipeline. A read that blocks must go alone.
func consumePipelined(ctx context.Context, r *round) error {
	client := dial(r.addr, 2)
	defer client.Close()
	waiting, passing := r.readArgs(block), r.readArgs(-1)
	ids := make([]string, 0, batch)
	for ctx.Err() == nil {
		var reply *redis.XStreamSliceCmd
		if len(ids) == 0 {
			reply = client.XReadGroup(ctx, waiting)
		} else {
			pipe := client.Pipeline()
			pipe.XAck(ctx, r.stream, r.group, ids...)
			reply = pipe.XReadGroup(ctx, passing)
			if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
				return unlessDone(ctx, err)
			}
		}
		entries, err := read(reply)
		if err != nil {
			return unlessDone(ctx, err)
		}
		if ids, err = handleBare(r, entries, ids[:0]); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) readArgs(block time.Duration) *redis.XReadGroupArgs {
	return &redis.XReadGroupArgs{
		Group: r.group, Consumer: "bench", Streams: []string{r.stream, ">"}, Count: batch, Block: block,
	}
}

// read unwraps a group read of one stream; nothing new is no error.
func read(reply *redis.XStreamSliceCmd) ([]redis.XMessage, error) {
	streams, err := reply.Result()
	if errors.Is(err, redis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("group read: %w", err)
	}
	return streams[0].Messages, nil
}

// handleBare returns the ids to be acknowledged.
func handleBare(r *round, entries []redis.XMessage, ids []string) ([]string, error) {
	for _, entry := range entries {
		text, _ := entry.Values[dataField].(string)
		if err := decodeAndHandle(r, []byte(text)); err != nil {
			return nil, fmt.Errorf("entry %s: %w", entry.ID, err)
		}
		ids = append(ids, entry.ID)
	}
	return ids, nil
}

func decodeAndHandle(r *round, text []byte) error {
	var m envelope
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	r.handle(m.Metadata.Headers.ID, m.Data)
	return nil
}

// unlessDone forgives what fails because the round is over.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
