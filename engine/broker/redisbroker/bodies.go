package redisbroker

import (
	"context"

	"github.com/observatory-go/observatory/engine/message"
)

// Bodies implements [consumergroup.Reader].
func (m *membership) Bodies(ctx context.Context, ids []string) (got []message.Delivery, err error) {
	got = make([]message.Delivery, len(ids))
	for i, id := range ids {
		got[i] = message.Delivery{Stream: m.member.Stream, ID: id}
	}
	err = m.do(ctx, "read bodies of", func() error { return m.readBodies(ctx, got) })
	return got, err
}
