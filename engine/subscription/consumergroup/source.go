package consumergroup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
)

const (
	// longestBlock bounds one blocking read, so that stopping is prompt: a
	// client does not interrupt a read under way.
	longestBlock = time.Second
)

// Over returns what opens the sources of subscriptions to streams of a broker: one
// for all of them, since a stream with a retention is trimmed only while the groups
// of all subscriptions that were opened here exist. The broker is closed by who
// opened it.
func Over(b Broker) subscription.Opener { return &opener{b, &retentions{}} }

type opener struct {
	broker     Broker
	retentions *retentions
}

// Open implements [subscription.Opener].
func (o *opener) Open(c subscription.Config, log *slog.Logger) subscription.Source {
	s := &source{
		broker: o.broker, log: log, inflight: newInflight(),
		member: Member{
			Stream: c.Stream, Group: c.Group, Consumer: consumerName(subscription.ShortName(c.Handler)), FromEnd: c.FromEnd,
			HeartbeatEvery: c.ClaimIdle / 3,
		},
		deadLetters: c.DeadLetters,
		block:       min(c.BlockingTimeout, longestBlock),
		claimIdle:   c.ClaimIdle,
		renewEvery:  c.ClaimIdle / 3,
		maxAttempts: max(c.Retry.MaxAttempts, 1),
		concurrency: int64(max(c.Concurrency, 1)),
		takeover:    takeover{returned: make(chan struct{}, 1)},
		added:       make(chan struct{}, 1),
		reclaim:     make(chan struct{}, 1),
	}
	s.retention = o.retentions.of(s, c.RetentionMaxLen)
	return s
}

// consumerName is unique to this process and start, as the original's is.
func consumerName(handler string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%s-%s-%d-%s", handler, host, os.Getpid(), hex.EncodeToString(random[:]))
}

// source implements [subscription.Source].
type source struct {
	broker      Broker
	member      Member
	log         *slog.Logger
	retention   *retention
	deadLetters bool // what is given up is kept in the stream's dead-letter queue
	block       time.Duration
	claimIdle   time.Duration
	renewEvery  time.Duration
	maxAttempts int
	concurrency int64
	inflight    *inflight
	takeover    takeover

	// membership is set by the first join, and replaced when the group had to
	// be made again. joining is held while it is made.
	membership atomic.Pointer[Membership]
	joining    sync.Mutex
	position   position
	// ahead says that the group was found ahead of its stream: nothing is read.
	ahead atomic.Bool
	// lastRead is when a read last worked, in nanoseconds since 1970: while
	// reads work, the group exists.
	lastRead atomic.Int64
	// pendingOfOthers is how many entries the group's other consumers had pending
	// when that was last asked.
	pendingOfOthers atomic.Int64

	// These belong to the goroutine that calls Next.

	// relist is when a read that the server did not give up is over for certain.
	relist  time.Time
	listing bool      // the listing of this consumer's entries goes on
	after   string    // where it goes on
	listed  time.Time // when it was through
	full    bool      // the last read was full: more is waiting

	added   chan struct{} // there is something to acknowledge
	reclaim chan struct{} // the group was made again
	waiting atomic.Bool   // Next waits for entries and takes no acknowledgements
}

// Next implements [subscription.Intake].
func (s *source) Next(ctx context.Context, max int) ([]*subscription.Task, error) {
	m := s.membership.Load()
	tasks, err := s.next(ctx, max)
	if isGone(err) {
		if err = s.rejoin(ctx, m); err == nil {
			signal(s.reclaim)
		}
	}
	if err != nil {
		// The lost reply may have delivered entries that only a listing finds. A
		// server goes on for a while with a read whose client is gone, so they
		// are listed once more later.
		s.listing, s.after = true, ""
		s.relist = time.Now().Add(2 * longestBlock)
	}
	return tasks, err
}

// next is one turn: what is pending for this consumer and unknown, else what
// was released, else some of what dead consumers left and what is new.
func (s *source) next(ctx context.Context, n int) ([]*subscription.Task, error) {
	if s.membership.Load() == nil {
		if err := s.join(ctx); err != nil {
			return nil, err
		}
		s.listing, s.after = true, ""
	}
	m := *s.membership.Load()
	again := !s.relist.IsZero() && time.Now().After(s.relist)
	if !s.listing && (again || time.Since(s.listed) >= s.renewEvery) {
		s.relist, s.listing, s.after = time.Time{}, true, ""
	}
	for s.listing && ctx.Err() == nil {
		if tasks, err := s.listOwn(ctx, m, List{Max: n}); err != nil || len(tasks) > 0 {
			return tasks, err
		}
	}
	if m.HasReleased() {
		got, more, err := m.ClaimReleased(ctx, n)
		if err != nil {
			return nil, err
		}
		tasks := s.inflight.enter(got, 0)
		if more || len(tasks) > 0 {
			return tasks, nil
		}
	}
	var taken []*subscription.Task
	if s.takeover.isTakingOver() {
		var err error
		taken, err = s.takeOver(ctx, m, 1+n/10) // most of a turn is for what is new
		if err != nil || slices.ContainsFunc(taken, func(t *subscription.Task) bool { return t.Apart }) {
			return taken, err
		}
	}
	if err := s.checkAhead(ctx, m); err != nil {
		return taken, err
	}
	tasks, err := s.read(ctx, m, max(n-len(taken), 1))
	if tasks = append(taken, tasks...); err == nil && len(tasks) == 0 && s.takeover.isTakingOver() {
		s.takeover.waitReturned(ctx)
	}
	return tasks, err
}

// listOwn enters a page of what is pending for this consumer and unknown.
func (s *source) listOwn(ctx context.Context, m Membership, page List) (unknown []*subscription.Task, err error) {
	s.inflight.exchange.Lock()
	defer s.inflight.exchange.Unlock()
	page.After, page.Known = s.after, s.inflight.has
	own, next, err := m.Pending(ctx, page)
	if err != nil {
		return nil, err
	}
	unknown = s.inflight.enter(own, 1)
	if len(unknown) > 0 {
		s.log.WarnContext(ctx, "found entries that were delivered and never seen", "entries", len(unknown))
	}
	if s.after = next; next == "" {
		s.listing, s.listed = false, time.Now()
	}
	return unknown, nil
}

// read takes new entries. It waits for them only when there is nothing to
// acknowledge, nothing to be taken over, and the last read was not full.
func (s *source) read(ctx context.Context, m Membership, max int) ([]*subscription.Task, error) {
	var got []message.Delivery
	var err error
	tried := false
	if s.full || s.inflight.hasHandled() {
		tried = true
		err = s.inflight.acknowledge(func(ids []string) (acked bool, err error) {
			got, acked, err = m.Read(ctx, Read{Max: max, Acks: ids})
			return acked, err
		})
	}
	if err == nil && len(got) == 0 && (!tried || !s.full) {
		block := s.block
		if s.takeover.isTakingOver() {
			block = 0
		}
		s.waiting.Store(true)
		if !s.inflight.hasHandled() { // what was handled meanwhile is acknowledged first
			got, _, err = m.Read(ctx, Read{Max: max, Block: block})
		}
		s.waiting.Store(false)
	}
	s.full = len(got) >= max
	if err == nil {
		s.lastRead.Store(time.Now().UnixNano())
	}
	tasks := s.inflight.enter(got, 1)
	if len(got) > 0 {
		s.retention.grown.Store(true)
		if id, err := message.ParseEntryID(got[len(got)-1].ID); err == nil {
			s.position.raise(id) // once they are in flight, or retention would not know of them
		}
	}
	return tasks, err
}

// Reload implements [subscription.Reloader].
func (s *source) Reload(ctx context.Context, tasks []*subscription.Task) error {
	got, err := (*s.membership.Load()).Bodies(ctx, idsOf(tasks))
	if err != nil {
		return err
	}
	for i, d := range got {
		tasks[i].Delivery.Fields = d.Fields
	}
	return nil
}
