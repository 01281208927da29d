package consumergroup

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

// position is the highest id that the group is known to have delivered.
type position struct {
	mu    sync.Mutex
	id    message.EntryID
	known bool // 0-0 is a position too: of a group that has delivered nothing
}

func (p *position) raise(id message.EntryID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = true
	if id.Compare(p.id) > 0 {
		p.id = id
	}
}

// reset follows a group that was made again.
func (p *position) reset(id message.EntryID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id, p.known = id, true
}

func (p *position) get() (id message.EntryID, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id, p.known
}

// join makes the group where it does not exist.
func (s *source) join(ctx context.Context) error {
	s.joining.Lock()
	defer s.joining.Unlock()
	m, err := s.broker.Join(ctx, s.member)
	if err != nil {
		return err
	}
	id, _, err := m.Position(ctx)
	if isAhead(err) {
		return err
	}
	if err == nil {
		s.position.raise(id)
	}
	s.lastRead.Store(time.Now().UnixNano())
	s.membership.Store(&m)
	return nil
}

// rejoin makes a group again that was found gone through a membership, at the
// position up to which it is known to have delivered. What is in flight is to be
// claimed back then.
func (s *source) rejoin(ctx context.Context, through *Membership) error {
	s.joining.Lock()
	defer s.joining.Unlock()
	if s.membership.Load() != through {
		return nil // another goroutine found it gone too
	}
	member := s.member
	var known bool
	if member.Resume, known = s.position.get(); known {
		member.FromEnd = false
	}
	m, err := s.broker.Join(ctx, member)
	if err != nil {
		return err
	}
	id, _, err := m.Position(ctx)
	if err == nil {
		s.position.reset(id)
	}
	s.membership.Store(&m)
	s.inflight.forgetTried()
	s.log.WarnContext(ctx, "consumer group was gone and was created again; what its other consumers had pending is not in it any more",
		"position", id.String(), "last_known", member.Resume.String(), "pending_of_others", s.pendingOfOthers.Load())
	return nil
}

// checkGroup learns the group's position. Where the group is gone it makes it
// again, and claims back what is in flight.
func (s *source) checkGroup(ctx context.Context) (lost []*subscription.Task) {
	m := s.membership.Load()
	id, pending, err := (*m).Position(ctx)
	s.ahead.Store(isAhead(err))
	if err == nil {
		s.position.raise(id)
		s.pendingOfOthers.Store(int64(max(pending-s.inflight.size(), 0)))
	}
	if !isGone(err) || s.rejoin(ctx, m) != nil {
		return nil // Next reports what is wrong with the broker
	}
	lost, _ = s.renew(ctx)
	return lost
}

// checkAhead asks again where the group was found ahead of its stream.
func (s *source) checkAhead(ctx context.Context, m Membership) error {
	if !s.ahead.Load() {
		return nil
	}
	_, _, err := m.Position(ctx)
	if isAhead(err) {
		return err
	}
	s.ahead.Store(false)
	return nil
}

func isAhead(err error) bool {
	_, ahead := errors.AsType[*AheadError](err)
	return ahead
}

func isGone(err error) bool { return errors.Is(err, ErrNoGroup) }
