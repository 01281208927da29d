package redisbroker

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

const (
	// maxBlock is the longest that one read waits on the server: go-redis does
	// not interrupt a wait when its context ends.
	maxBlock = time.Second
	// maxPause is the longest that a read waits which found no free connection
	// to wait on the server with.
	maxPause = 100 * time.Millisecond
)

// Read implements [consumergroup.Reader]. The values of the fields share one
// buffer for all that a read returns. A group that is gone, after a FLUSHALL for
// instance, is created again at the stream's beginning.
func (s *seat) Read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	err = s.do(ctx, "read", func() error {
		got, acked, err = s.read(ctx, r)
		if says(err, "NOGROUP") || says(err, "UNBLOCKED") {
			got, err = s.readAnew(ctx, r)
		}
		return err
	})
	return got, acked, err
}

func (s *seat) read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	if r.Max < 1 {
		err = s.ack(ctx, r.Acks)
		return nil, err == nil, err
	}
	if r.Block <= 0 {
		return s.readNow(ctx, r)
	}
	select {
	case s.broker.slots <- struct{}{}:
		defer func() { <-s.broker.slots }()
		return s.readWaiting(ctx, r)
	default:
		return s.readAndPause(ctx, r)
	}
}

// readAnew creates the group that was gone and reads once more. What was to be
// acknowledged was so at the first try, or went with the group.
func (s *seat) readAnew(ctx context.Context, r consumergroup.Read) ([]message.Delivery, error) {
	if err := s.broker.createGroup(ctx, s.member, "0"); err != nil {
		return nil, err
	}
	s.broker.config.Logger.WarnContext(ctx, "consumer group was gone and was created again at the stream's beginning",
		"stream", s.member.Stream, "group", s.member.Group)
	got, _, err := s.readNow(ctx, consumergroup.Read{Max: r.Max})
	return got, err
}

// readNow acknowledges and reads in one round trip.
func (s *seat) readNow(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	read := redis.NewRawCmd(ctx, s.readArgs(r.Max, 0)...)
	if len(r.Acks) == 0 {
		_ = s.broker.commands.Process(ctx, read)
		got, err = s.readReply(ctx, s.broker.commands, read)
		return got, true, err
	}
	pipe := s.broker.commands.Pipeline()
	acks := s.queueAcks(ctx, pipe, r.Acks)
	_ = pipe.Process(ctx, read)
	_, _ = pipe.Exec(ctx) // each command has its own error
	ackErr := firstError(acks)
	got, err = s.readReply(ctx, s.broker.commands, read)
	if err == nil {
		err = ackErr
	}
	return got, ackErr == nil, err
}

// readWaiting acknowledges, then waits for entries on the server. The two cannot
// share a round trip: the acknowledgement's reply would wait too.
func (s *seat) readWaiting(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	if err := s.ack(ctx, r.Acks); err != nil {
		return nil, false, err
	}
	read := redis.NewRawCmd(ctx, s.readArgs(r.Max, min(r.Block, maxBlock))...)
	_ = s.broker.blocking.Process(ctx, read)
	got, err = s.readReply(ctx, s.broker.blocking, read)
	return got, true, err
}

// readAndPause reads without waiting on the server, and where nothing came waits
// here for a moment, so that all get their turn.
func (s *seat) readAndPause(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	got, acked, err = s.readNow(ctx, r)
	if err != nil || len(got) > 0 {
		return got, acked, err
	}
	pause := time.NewTimer(min(r.Block, maxPause))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	case <-s.broker.closing:
	}
	return nil, acked, nil
}

// readArgs waits where block is positive. BLOCK counts whole milliseconds, and
// none means for ever.
func (s *seat) readArgs(n int, block time.Duration) []any {
	args := make([]any, 0, 11)
	args = append(args, "XREADGROUP", "GROUP", s.member.Group, s.member.Consumer, "COUNT", n)
	if block > 0 {
		args = append(args, "BLOCK", max(block.Milliseconds(), 1))
	}
	return append(args, "STREAMS", s.member.Stream, ">")
}

func (s *seat) readReply(ctx context.Context, from *redis.Client, read *redis.RawCmd) ([]message.Delivery, error) {
	buf, err := read.Result()
	if err != nil {
		return nil, err
	}
	got, err := parseRead(s.member.Stream, buf)
	if says(err, "READONLY") {
		s.shed(ctx, from)
	}
	return got, err
}

// shed ends a connection to what has become a replica, so that the next finds
// the new master. go-redis does so by itself where it parses the reply, so it is
// given one: of a command that changes nothing, most likely on the connection
// that was just given back.
func (s *seat) shed(ctx context.Context, client *redis.Client) {
	_ = client.XAck(ctx, s.member.Stream, s.member.Group, "0-0").Err()
}

func firstError(cmds []*redis.IntCmd) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}
