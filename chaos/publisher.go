package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The stream of the load and the group that reads it.
const (
	stream     = "chaos::order"
	group      = "Shipper"
	aggregates = 500
)

// padding makes an event about as large as a real one.
var padding = strings.Repeat("x", 300)

// publish offers messages at a rate until the context ends, and notes what became
// of each. It does not catch up on what it could not offer while Redis was away.
func publish(ctx context.Context, addr string, rate int, random *rand.Rand, h *history) {
	client := newClient(addr)
	defer client.Close()
	// A command under way when the load ends gets its reply.
	sending := context.WithoutCancel(ctx)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	n, last, owed := 0, time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			owed = min(owed+now.Sub(last).Seconds()*float64(rate), float64(rate)/10)
			last = now
		}
		pipe := client.Pipeline()
		var batch []record
		for ; owed >= 1; owed-- {
			n++
			key := 1 + random.IntN(aggregates)
			batch = append(batch, record{Kind: kindPublish, N: n, Key: key})
			pipe.XAdd(sending, &redis.XAddArgs{Stream: stream, Values: []any{"data", event(n, key)}})
		}
		if len(batch) == 0 {
			continue
		}
		replies, _ := pipe.Exec(sending) // each reply has its own error
		at := h.now()
		for i, r := range batch {
			r.At = at
			id, err := replies[i].(*redis.StringCmd).Result()
			switch {
			case err == nil:
				r.Outcome, r.ID = outcomeOK, id
			case refused(err):
				r.Outcome, r.Text = outcomeFailed, err.Error()
			default:
				r.Outcome, r.Text = outcomeUnknown, err.Error()
			}
			h.add(r)
		}
	}
}

// event is a message of the wire format.
func event(n, key int) string {
	own := fmt.Sprintf("%s-%d", stream, key)
	return fmt.Sprintf(`{"data": {"n": %d, "padding": %q}, "metadata": {"headers": {"id": "%s-%d", "time": %q, `+
		`"type": "Chaos.OrderPlaced.v1", "stream": %q}, "domain": {"fqn": "chaos.OrderPlaced", "kind": "EVENT", `+
		`"stream_category": %q, "version": 1, "asynchronous": true}}}`,
		n, padding, own, n, time.Now().UTC().Format(time.RFC3339Nano), own, stream)
}
