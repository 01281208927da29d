package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Position implements [consumergroup.Renewer].
func (m *membership) Position(ctx context.Context) (delivered message.EntryID, pending int, err error) {
	err = m.do(ctx, "position on", func() error {
		var last message.EntryID
		if delivered, last, pending, err = m.standing(ctx); err != nil {
			return err
		}
		if delivered.Compare(last) > 0 {
			return &consumergroup.AheadError{
				Stream: m.member.Stream, Group: m.member.Group, Delivered: delivered, Last: last,
				WayOut: fmt.Sprintf("set it where it is to go on, as by XGROUP SETID %q %q %s, or 0 to have everything again", m.member.Stream, m.member.Group, last),
			}
		}
		return nil
	})
	return delivered, pending, err
}

// standing is where the group and its stream are.
func (m *membership) standing(ctx context.Context) (delivered, last message.EntryID, pending int, err error) {
	result, err := m.broker.run(ctx, positionScript, []string{m.member.Stream}, m.member.Group)
	if err != nil {
		return delivered, last, 0, err
	}
	found, err := result.StringSlice()
	switch {
	case err != nil:
		return delivered, last, 0, err
	case len(found) == 0:
		return delivered, last, 0, consumergroup.ErrNoGroup
	case len(found) != 3:
		return delivered, last, 0, unexpectedReply("the script that tells the group's position")
	}
	var errs [3]error
	delivered, errs[0] = message.ParseEntryID(found[0])
	last, errs[1] = message.ParseEntryID(found[1])
	pending, errs[2] = strconv.Atoi(found[2])
	return delivered, last, pending, errors.Join(errs[:]...)
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
