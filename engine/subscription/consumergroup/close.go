package consumergroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/observatory-go/observatory/engine/retry"
)

// Close implements [subscription.Intake]. What cannot be acknowledged or listed
// leaves half of the time that is left for what comes after it: releasing comes
// last and must not go short. A consumer that has nothing pending then is deleted;
// where that fails, others delete it later.
func (s *source) Close(ctx context.Context) error {
	defer s.retention.leave(s)
	if s.membership.Load() == nil {
		return nil
	}
	flushed := inHalfOf(ctx, s.flush)
	_ = inHalfOf(ctx, s.finishDeadLetters)
	err := errors.Join(
		flushed,
		inHalfOf(ctx, s.listRest),
		inHalfOf(ctx, s.claimBack),
		retryUntilDone(ctx, s.release))
	_ = (*s.membership.Load()).Leave(ctx)
	return err
}

// inHalfOf tries fn until it succeeds or half of the time that ctx leaves is over.
func inHalfOf(ctx context.Context, fn func(context.Context) error) error {
	if deadline, ok := ctx.Deadline(); ok {
		half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
		ctx = half
	}
	return retryUntilDone(ctx, fn)
}

// retryUntilDone tries until fn succeeds or ctx ends, since nothing is tried afterwards.
func retryUntilDone(ctx context.Context, fn func(context.Context) error) error {
	var backoff retry.Backoff
	for {
		err := fn(ctx)
		if err == nil || !retry.Sleep(ctx, backoff.Next()) {
			return err
		}
	}
}

// finishDeadLetters tries once more those whose earlier try had no answer: such an
// entry may be neither in the queue nor pending, and then cannot be released. Where
// that fails, release says what it means.
func (s *source) finishDeadLetters(ctx context.Context) error {
	if tasks := s.inflight.tried(); len(tasks) > 0 {
		_, _ = s.GiveUp(ctx, tasks)
	}
	return nil
}

// listRest enters, to be released, what a lost reply has left behind.
func (s *source) listRest(ctx context.Context) error {
	page := List{Max: 1000, IDsOnly: true}
	m := *s.membership.Load()
	s.listing, s.after = true, ""
	for s.listing {
		if _, err := s.listOwn(ctx, m, page); isGone(err) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// claimBack claims what was dropped with this consumer or its group since the last
// renewal: nothing else knows of it any more.
func (s *source) claimBack(ctx context.Context) error {
	m := s.membership.Load()
	_, err := s.renew(ctx)
	if !isGone(err) {
		return err
	}
	if err := s.rejoin(ctx, m); err != nil {
		return err
	}
	_, err = s.renew(ctx)
	return err
}

// release gives back what is held: what was not finished, and what was finished
// and could not be acknowledged, which is then handled again rather than never.
func (s *source) release(ctx context.Context) error {
	var entries []Entry
	for _, t := range s.inflight.all() {
		attempts := t.Attempts
		if t.UnderWay && attempts < math.MaxInt {
			attempts++
		}
		entries = append(entries, Entry{ID: t.Delivery.ID, Attempts: attempts})
	}
	if len(entries) == 0 {
		return nil
	}
	s.log.Info("releasing what was not finished", "entries", len(entries))
	lost, err := (*s.membership.Load()).Release(ctx, entries)
	if err != nil && !isGone(err) {
		return fmt.Errorf("%d entries of %q could not be released and stay pending for consumer %q: %w",
			len(entries), s.member.Stream, s.member.Consumer, err)
	}
	for _, t := range s.inflight.tried() {
		if isGone(err) || slices.Contains(lost, t.Delivery.ID) {
			s.log.Error("a dead letter may not have been written, and its entry is not pending any more",
				"entry", t.Delivery.ID, "reason", t.Err)
		}
	}
	return nil
}
