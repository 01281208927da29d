package redisbroker

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/message"
)

// ClaimReleased implements [consumergroup.Reader]. The attempts of what it
// returns are those that Release was told. An entry whose body is gone is
// returned too, for the caller to acknowledge and count.
//
// Entries are claimed first and their bodies read second, so that a reply that
// is slow or lost leaves them where Pending lists them.
func (m *membership) ClaimReleased(ctx context.Context, max int) (got []message.Delivery, more bool, err error) {
	began := time.Now().UnixNano()
	err = m.do(ctx, "claim released entries of", func() error {
		if max < 1 {
			return nil
		}
		result, err := m.broker.run(ctx, claimReleasedScript, []string{m.member.Stream},
			m.member.Group, m.member.Consumer, Released, min(max, maxBatch))
		if err != nil {
			return err
		}
		texts, err := result.StringSlice()
		if err != nil || len(texts)%2 != 1 {
			return unexpectedReply("CLAIM")
		}
		more = texts[0] == "1"
		for i := 1; i < len(texts); i += 2 {
			got = append(got, message.Delivery{Stream: m.member.Stream, ID: texts[i], Attempts: deliveryCount(texts[i+1])})
		}
		return m.readBodies(ctx, got)
	})
	if err != nil {
		return nil, false, err
	}
	if !more && max > 0 {
		m.check.none.Store(began)
	}
	return got, more, nil
}
