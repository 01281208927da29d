package redisbroker

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Redis does nothing else while it runs a command or a script, so one takes no
// more than this many entries, or letters, which have bodies.
const (
	maxBatch   = 1000
	maxLetters = 100
)

// Ack implements [consumergroup.Settler].
func (s *seat) Ack(ctx context.Context, ids []string) error {
	return s.do(ctx, "acknowledge on", func() error { return s.ack(ctx, ids) })
}

func (s *seat) ack(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if len(ids) <= maxBatch {
		return s.broker.commands.XAck(ctx, s.member.Stream, s.member.Group, ids...).Err()
	}
	pipe := s.broker.commands.Pipeline()
	acks := s.queueAcks(ctx, pipe, ids)
	_, _ = pipe.Exec(ctx) // each command has its own error
	return firstError(acks)
}

// queueAcks adds acknowledgements to a pipeline.
func (s *seat) queueAcks(ctx context.Context, pipe redis.Pipeliner, ids []string) []*redis.IntCmd {
	var acks []*redis.IntCmd
	for batch := range slices.Chunk(ids, maxBatch) {
		acks = append(acks, pipe.XAck(ctx, s.member.Stream, s.member.Group, batch...))
	}
	return acks
}

// Attempt implements [consumergroup.Settler].
func (s *seat) Attempt(ctx context.Context, held []consumergroup.Entry) (lost []string, err error) {
	err = s.do(ctx, "attempt on", func() error {
		lost, err = s.settle(ctx, attemptScript, held)
		return err
	})
	return lost, err
}

// Release implements [consumergroup.Settler]; the holder is [Released].
func (s *seat) Release(ctx context.Context, held []consumergroup.Entry) (lost []string, err error) {
	err = s.do(ctx, "release on", func() error {
		lost, err = s.settle(ctx, releaseScript, held, Released)
		return err
	})
	return lost, err
}

// settle runs a script over all that is held, batch by batch. What a failed
// batch held is not among the lost.
func (s *seat) settle(ctx context.Context, script *redis.Script, held []consumergroup.Entry, args ...any) (lost []string, err error) {
	for batch := range slices.Chunk(held, maxBatch) {
		ids := make([]string, 0, len(batch))
		all := append([]any{s.member.Group, s.member.Consumer}, args...)
		for _, h := range batch {
			ids = append(ids, h.ID)
			all = append(all, h.ID, h.Attempts)
		}
		more, err := s.run(ctx, script, ids, []string{s.member.Stream}, all)
		lost = append(lost, more...)
		if err != nil {
			return lost, err
		}
	}
	return lost, nil
}

// Park implements [consumergroup.Settler]. A letter's entry in the queue has the
// field data and, where the letter has one, the field raw.
func (s *seat) DeadLetter(ctx context.Context, letters []deadletter.Entry) (lost []string, err error) {
	queue := deadletter.QueueOf(s.member.Stream)
	err = s.do(ctx, "park from", func() error {
		for batch := range slices.Chunk(letters, maxLetters) {
			more, err := s.park(ctx, queue, batch)
			lost = append(lost, more...)
			if err != nil {
				return s.broker.explain(ctx, err, s.member.Stream, queue)
			}
		}
		return nil
	})
	return lost, err
}

func (s *seat) park(ctx context.Context, queue string, letters []deadletter.Entry) ([]string, error) {
	ids := make([]string, 0, len(letters))
	args := []any{s.member.Group, s.member.Consumer}
	for _, letter := range letters {
		ids = append(ids, letter.ID)
		args = append(args, letter.ID, letter.Data, letter.Raw != nil, letter.Raw)
	}
	return s.run(ctx, parkScript, ids, []string{s.member.Stream, queue}, args)
}

// run runs a script that returns the ids that this consumer does not have. Where
// the whole group is gone it has none.
func (s *seat) run(ctx context.Context, script *redis.Script, ids, keys []string, args []any) (lost []string, err error) {
	lost, err = script.Run(ctx, s.broker.commands, keys, args...).StringSlice()
	if says(err, "NOGROUP") {
		return ids, nil
	}
	return lost, err
}
