package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// dataField holds the whole message in a stream entry.
const dataField = "data"

// fill writes the messages into new streams, in order; streamOf names each one's.
func fill(ctx context.Context, client *redis.Client, messages []string, streamOf func(i int) string) error {
	const batch = 500
	for from := 0; from < len(messages); from += batch {
		pipe := client.Pipeline()
		for i, text := range messages[from:min(from+batch, len(messages))] {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: streamOf(from + i), Values: []string{dataField, text}})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill streams: %w", err)
		}
	}
	return nil
}

// acknowledged reports whether the group has nothing pending.
func acknowledged(ctx context.Context, client *redis.Client, stream, group string) (bool, error) {
	pending, err := client.XPending(ctx, stream, group).Result()
	if err != nil {
		return false, fmt.Errorf("pending of %s on %s: %w", group, stream, err)
	}
	return pending.Count == 0, nil
}

// drained fails unless the group has read the whole stream and has nothing
// pending: Redis' own word on what a contestant says it did.
func drained(ctx context.Context, client *redis.Client, stream, group string) error {
	groups, err := client.XInfoGroups(ctx, stream).Result()
	if err != nil {
		return fmt.Errorf("groups of %s: %w", stream, err)
	}
	for _, g := range groups {
		if g.Name != group {
			continue
		}
		if g.Pending != 0 || g.Lag != 0 {
			return fmt.Errorf("group %s on %s has %d entries pending and %d unread", group, stream, g.Pending, g.Lag)
		}
		return nil
	}
	return fmt.Errorf("group %s on %s does not exist", group, stream)
}
