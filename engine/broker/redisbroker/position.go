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
		list := newCommand(ctx, "XINFO", "GROUPS", m.member.Stream)
		if err := send(ctx, m.broker.commands, list); err != nil {
			return err
		}
		groups, err := parseGroups(list.Val())
		if err != nil {
			return fmt.Errorf("XINFO GROUPS: %w", err)
		}
		group, exists := groups[m.member.Group]
		if !exists {
			return consumergroup.ErrNoGroup
		}
		delivered, pending = group.delivered, int(group.pending)
		return nil
	})
	return delivered, pending, err
}
