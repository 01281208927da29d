package consumergroup

import (
	"context"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
	"github.com/observatory-go/observatory/engine/subscription"
)

// ackDelay is the longest that a handled message waits for its acknowledgement
// while the broker answers: what a crash repeats at most.
const ackDelay = 50 * time.Millisecond

// Done implements [subscription.Settlement]. What it takes is acknowledged with
// the next read, or within ackDelay.
func (s *source) Done(tasks []*subscription.Task) {
	s.inflight.addHandled(tasks)
	signal(s.added)
}

// acknowledge calls send with all that waits for acknowledgement; send reports
// whether it was acknowledged. What was not is kept.
func (s *source) acknowledge(send func(ids []string) (acked bool, err error)) error {
	s.inflight.exchange.RLock()
	defer s.inflight.exchange.RUnlock()
	ids := s.inflight.takeHandled()
	acked, err := send(ids)
	if acked {
		s.inflight.remove(ids)
	} else {
		s.inflight.putBackHandled(ids)
	}
	return err
}

// flush acknowledges all that waits.
func (s *source) flush(ctx context.Context) error {
	return s.acknowledge(func(ids []string) (bool, error) {
		if len(ids) == 0 {
			return true, nil
		}
		err := (*s.membership.Load()).Ack(ctx, ids)
		if isGone(err) {
			return true, nil // with its group
		}
		return err == nil, err
	})
}

// waitForRead leaves Next time to take the acknowledgements along, unless Next
// waits for entries, on an idle stream. It returns false when ctx ended.
func (s *source) waitForRead(ctx context.Context) bool {
	return s.waiting.Load() || retry.Sleep(ctx, ackDelay)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
