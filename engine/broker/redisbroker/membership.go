package redisbroker

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// Released is the consumer that owns, in every group, the entries that departing
// engines released. Any engine of the group claims them.
const Released = "released"

// Join implements [consumergroup.Broker]. The error of a key of another type
// wraps broker.ErrWrongType and says what the key holds.
func (b *Broker) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	err := b.do(fmt.Sprintf("join group %q of %s", m.Group, m.Stream), func() error {
		if err := check(m); err != nil {
			return err
		}
		err := b.retryOnTimeout(func() error { return b.createGroup(ctx, m) })
		return b.noteJoin(ctx, m, err)
	})
	if err != nil {
		return nil, err
	}
	return &membership{
		broker: b, member: m, where: fmt.Sprintf(" %s for group %q", m.Stream, m.Group), attention: make(chan struct{}, 1),
		wakeups: b.wakeupsOf(m.Stream),
	}, nil
}

func check(m consumergroup.Member) error {
	if m.Stream == "" || m.Group == "" || m.Consumer == "" {
		return fmt.Errorf("stream %q, group %q and consumer %q must all be named", m.Stream, m.Group, m.Consumer)
	}
	if m.Consumer == Released {
		return fmt.Errorf("consumer %q owns what engines released: give this consumer another name", Released)
	}
	return nil
}

// createGroup makes the group, and its stream, unless they exist.
func (b *Broker) createGroup(ctx context.Context, m consumergroup.Member) error {
	var err error
	switch {
	case !m.Resume.IsZero():
		_, err = b.run(ctx, createGroupScript, []string{m.Stream}, m.Group, m.Resume.String())
	case m.FromEnd:
		err = b.commands.XGroupCreateMkStream(ctx, m.Stream, m.Group, "$").Err()
	default:
		err = b.commands.XGroupCreateMkStream(ctx, m.Stream, m.Group, "0").Err()
	}
	if hasCode(err, "BUSYGROUP") {
		return nil
	}
	// A server that is full, or denies XGROUP to this user, refuses before it
	// finds that the group exists, which can still be read and drained.
	if (hasCode(err, "OOM") || isDenial(err)) && b.hasGroup(ctx, m) {
		return nil
	}
	return b.explain(ctx, err, m.Stream)
}

func (b *Broker) hasGroup(ctx context.Context, m consumergroup.Member) bool {
	groups, err := b.commands.XInfoGroups(ctx, m.Stream).Result()
	return err == nil && slices.ContainsFunc(groups, func(g redis.XInfoGroup) bool { return g.Name == m.Group })
}

// membership implements [consumergroup.Membership].
type membership struct {
	broker *Broker
	member consumergroup.Member
	where  string // the part of its errors that names stream and group

	// lastReply is the length of the last read's reply, as which the next is
	// expected to be.
	lastReply atomic.Int64
	// split is set once the server has said that the stream and its dead-letter
	// queue are in two slots of a cluster.
	split atomic.Bool

	lastGot atomic.Int64 // when a read that could wait last got entries, in nanoseconds since 1970
	busy    atomic.Bool  // that one got entries, and the one before shortly before
	shares  atomic.Bool  // the last waited for a wake-up
	empty   atomic.Pointer[emptyRead]
	wakeups *wakeups
	// attention ends a wait for a wake-up: entries were released, or the group is gone.
	attention chan struct{}
	check     releasedCheck
}

// do runs one operation of this membership; what names it in errors.
func (m *membership) do(ctx context.Context, what string, operation func() error) error {
	return m.broker.do(what+m.where, func() error {
		err := m.broker.explain(ctx, operation(), m.member.Stream)
		if isDenial(err) {
			return m.noteDenial(ctx, err)
		}
		return err
	})
}

// groupExists is nil where the group exists. Redis acknowledges nothing of a
// group that does not, without an error.
func (m *membership) groupExists(ctx context.Context) error {
	return send(ctx, m.broker.commands, newCommand(ctx, "XPENDING", m.member.Stream, m.member.Group))
}
