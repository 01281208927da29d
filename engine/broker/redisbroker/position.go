package redisbroker

import (
	"context"
	"fmt"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Position implements [consumergroup.Renewer].
func (m *membership) Position(ctx context.Context) (delivered message.EntryID, pending int, err error) {
	err = m.do(ctx, "position on", func() error {
		delivered, pending, err = m.position(ctx)
		return err
	})
	return delivered, pending, err
}

func (m *membership) position(ctx context.Context) (delivered message.EntryID, pending int, err error) {
	list := newCommand(ctx, "XINFO", "GROUPS", m.member.Stream)
	if err := send(ctx, m.broker.commands, list); err != nil {
		return delivered, 0, err
	}
	groups, err := parseGroups(list.Val())
	if err != nil {
		return delivered, 0, fmt.Errorf("XINFO GROUPS: %w", err)
	}
	group, exists := groups[m.member.Group]
	if !exists {
		return delivered, 0, consumergroup.ErrNoGroup
	}
	return group.delivered, int(group.pending), nil
}
