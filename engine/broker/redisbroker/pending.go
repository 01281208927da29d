package redisbroker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/message"
)

// Pending implements [consumergroup.Reader]. An entry's Calls are its delivery
// count less one: a count of 1 is the read itself, and of n calls the last was
// announced but may not have been made. A group that is gone has nothing
// pending.
func (s *seat) Pending(ctx context.Context, after string, max int) (got []message.Delivery, err error) {
	err = s.do(ctx, "list pending entries of", func() error {
		if max < 1 {
			return nil
		}
		got, err = s.pending(ctx, after, max)
		if says(err, "NOGROUP") {
			return nil
		}
		return err
	})
	return got, err
}

func (s *seat) pending(ctx context.Context, after string, max int) ([]message.Delivery, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	entries, err := s.broker.commands.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: s.member.Stream, Group: s.member.Group, Consumer: s.member.Consumer,
		Start: start, End: "+", Count: int64(max),
	}).Result()
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return s.bodies(ctx, entries)
}

// bodies reads each entry by its id, in one round trip: reading the group's
// history instead would count as a delivery.
func (s *seat) bodies(ctx context.Context, entries []redis.XPendingExt) ([]message.Delivery, error) {
	pipe := s.broker.commands.Pipeline()
	ranges := make([]*redis.RawCmd, len(entries))
	for i, entry := range entries {
		ranges[i] = redis.NewRawCmd(ctx, "XRANGE", s.member.Stream, entry.ID, entry.ID)
		_ = pipe.Process(ctx, ranges[i])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	got := make([]message.Delivery, len(entries))
	for i, entry := range entries {
		got[i] = message.Delivery{Stream: s.member.Stream, ID: entry.ID, Attempts: max(int(entry.RetryCount)-1, 0)}
		buf, err := ranges[i].Result()
		if err != nil {
			return nil, err
		}
		found, err := parseRange(s.member.Stream, buf)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			got[i].Fields = found[0].Fields
		}
	}
	return got, nil
}
