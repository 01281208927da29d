package memorybroker

import (
	"context"
	"fmt"
	"time"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// maxBlock is the longest that one read waits.
const maxBlock = time.Second

// seat implements [consumergroup.Membership]. What it delivers is shared with other
// groups: readers must not write into the fields' values.
type seat struct {
	broker   *Broker
	member   consumergroup.Member
	group    *group
	consumer *consumer
}

func (s *seat) do(ctx context.Context, what string, operation func() error) error {
	return s.broker.do(ctx, what+" "+s.member.Stream, operation)
}

func (s *seat) Read(ctx context.Context, r consumergroup.Read) (got []message.Delivery, acked bool, err error) {
	err = s.do(ctx, "read", func() error {
		s.group.ack(r.Acks...)
		got = s.group.take(s.consumer, r.Max)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	if len(got) == 0 && r.Block > 0 && r.Max > 0 {
		got, err = s.waitFor(ctx, r.Max, min(r.Block, maxBlock))
	}
	return got, true, err
}

// waitFor takes entries as soon as there are any, or none after a while.
func (s *seat) waitFor(ctx context.Context, n int, patience time.Duration) (got []message.Delivery, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		var arrived <-chan struct{}
		err = s.do(ctx, "read", func() error {
			got, arrived = s.group.take(s.consumer, n), s.group.stream.wait()
			return nil
		})
		if err != nil || len(got) > 0 {
			return got, err
		}
		select {
		case <-arrived:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("memory broker: read %s: %w", s.member.Stream, ctx.Err())
		case <-s.broker.closed:
			return nil, fmt.Errorf("memory broker: read %s: %w", s.member.Stream, broker.ErrClosed)
		}
	}
}

func (s *seat) Pending(ctx context.Context, after string, max int) (got []message.Delivery, err error) {
	err = s.do(ctx, "list pending entries of", func() error {
		from, err := parseID(after)
		if err != nil {
			return err
		}
		for _, p := range s.group.held(s.consumer, from, max) {
			got = append(got, p.delivery(s.member.Stream, callsOf(p.count)))
		}
		return nil
	})
	return got, err
}

// callsOf is the calls that a delivery count proves. The count is written
// before a call, so the last may not have been made.
func callsOf(count int) int { return max(count-1, 0) }

func (s *seat) ClaimReleased(ctx context.Context, max int) (got []message.Delivery, err error) {
	err = s.do(ctx, "adopt from", func() error {
		for _, p := range s.group.held(s.group.consumer(holder), entryID{}, max) {
			s.group.move(p, s.consumer)
			got = append(got, p.delivery(s.member.Stream, p.count))
		}
		return nil
	})
	return got, err
}

func (s *seat) Ack(ctx context.Context, ids []string) error {
	return s.do(ctx, "acknowledge on", func() error {
		s.group.ack(ids...)
		return nil
	})
}

func (s *seat) Attempt(ctx context.Context, held []consumergroup.Entry) ([]string, error) {
	return s.each(ctx, "attempt on", held, func(p *pending, calls int) { p.count = calls })
}

func (s *seat) Release(ctx context.Context, held []consumergroup.Entry) ([]string, error) {
	return s.each(ctx, "release on", held, func(p *pending, calls int) {
		p.count = calls
		s.group.move(p, s.group.consumer(holder))
	})
}

// each calls fn for what this consumer still has and returns the ids of the
// rest.
func (s *seat) each(ctx context.Context, what string, held []consumergroup.Entry, fn func(*pending, int)) (lost []string, err error) {
	err = s.do(ctx, what, func() error {
		for _, h := range held {
			if p, ok := s.group.ownedBy(s.consumer, h.ID); ok {
				fn(p, h.Attempts)
			} else {
				lost = append(lost, h.ID)
			}
		}
		return nil
	})
	return lost, err
}

func (s *seat) DeadLetter(ctx context.Context, letters []deadletter.Entry) (lost []string, err error) {
	err = s.do(ctx, "park from", func() error {
		for _, letter := range letters {
			if _, ok := s.group.ownedBy(s.consumer, letter.ID); !ok {
				lost = append(lost, letter.ID)
				continue
			}
			s.broker.stream(deadletter.QueueOf(s.member.Stream)).add(fieldsOf(letter))
			s.group.ack(letter.ID)
		}
		return nil
	})
	return lost, err
}

// fieldsOf is the entry that a letter becomes.
func fieldsOf(letter deadletter.Entry) []message.Field {
	fields := []message.Field{{Name: message.DataField, Value: letter.Data}}
	if letter.Raw != nil {
		fields = append(fields, message.Field{Name: "raw", Value: letter.Raw})
	}
	return copyFields(fields)
}
