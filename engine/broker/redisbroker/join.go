package redisbroker

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Released is the consumer that holds, in every group, what departing engines
// gave back: its entries are anybody's.
const Released = "released"

// Join implements [consumergroup.Broker]. The error of a key of another type
// wraps broker.ErrWrongType and says what the key holds.
func (b *Broker) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	err := b.do(fmt.Sprintf("join group %q of %s", m.Group, m.Stream), func() error {
		if err := check(m); err != nil {
			return err
		}
		start := "0"
		if m.FromEnd {
			start = "$"
		}
		return b.patiently(func() error { return b.createGroup(ctx, m, start) })
	})
	if err != nil {
		return nil, err
	}
	return &seat{broker: b, member: m, where: fmt.Sprintf(" %s for group %q", m.Stream, m.Group)}, nil
}

func check(m consumergroup.Member) error {
	if m.Stream == "" || m.Group == "" || m.Consumer == "" {
		return fmt.Errorf("stream %q, group %q and consumer %q must all be named", m.Stream, m.Group, m.Consumer)
	}
	if m.Consumer == Released {
		return fmt.Errorf("consumer %q is the holder of what nobody has: take another name", Released)
	}
	return nil
}

// createGroup makes the group, and its stream, unless they are there.
func (b *Broker) createGroup(ctx context.Context, m consumergroup.Member, start string) error {
	err := b.commands.XGroupCreateMkStream(ctx, m.Stream, m.Group, start).Err()
	if says(err, "BUSYGROUP") {
		return nil
	}
	// A full server, or one that denies XGROUP, refuses before it looks: a group
	// that is there can still be read and drained.
	if (says(err, "OOM") || says(err, "NOPERM")) && b.hasGroup(ctx, m) {
		return nil
	}
	return b.explain(ctx, err, m.Stream)
}

func (b *Broker) hasGroup(ctx context.Context, m consumergroup.Member) bool {
	groups, err := b.commands.XInfoGroups(ctx, m.Stream).Result()
	return err == nil && slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool { return g.Name == m.Group })
}

// seat implements [consumergroup.Membership].
type seat struct {
	broker *Broker
	member consumergroup.Member
	where  string // what its errors say beside what was done
}

// do runs one operation of this seat; what names it in errors.
func (s *seat) do(ctx context.Context, what string, operation func() error) error {
	return s.broker.do(what+s.where, func() error {
		return s.broker.explain(ctx, operation(), s.member.Stream)
	})
}
