package redisbroker

import (
	"bytes"
	"context"

	"github.com/observatory-go/observatory/engine/message"
)

// Adopt implements [consumergroup.Reader]. The calls of what it returns are
// exactly those that Release was told. An entry whose body is gone is returned
// too, for the caller to acknowledge and count.
func (s *seat) ClaimReleased(ctx context.Context, max int) (got []message.Delivery, err error) {
	err = s.do(ctx, "adopt from", func() error {
		if max < 1 {
			return nil
		}
		got, err = s.adopt(ctx, min(max, maxBatch))
		if says(err, "NOGROUP") {
			return nil
		}
		return err
	})
	return got, err
}

func (s *seat) adopt(ctx context.Context, max int) ([]message.Delivery, error) {
	args := []any{1, s.member.Stream, s.member.Group, s.member.Consumer, Released, max}
	buf, err := s.broker.commands.DoRaw(ctx, append([]any{"EVALSHA", adoptScript.Hash()}, args...)...).Result()
	if err == nil && bytes.HasPrefix(buf, []byte("-NOSCRIPT")) {
		buf, err = s.broker.commands.DoRaw(ctx, append([]any{"EVAL", adoptSource}, args...)...).Result()
	}
	if err != nil {
		return nil, err
	}
	return parseAdopted(s.member.Stream, buf)
}
