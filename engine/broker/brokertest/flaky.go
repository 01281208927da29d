package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// ErrInjected is what a fault answers unless it names an error.
var ErrInjected = errors.New("brokertest: injected fault")

// Fault is something that goes wrong.
type Fault struct {
	// Method is the method that fails: Join, Read, Pending, ClaimReleased, Ack,
	// Attempt, Release, DeadLetter, Renew, Position, Trim, Heartbeat, TakeOver,
	// Leave, Publish or Ping; "" for any of them.
	Method string
	// Nth is the first call that fails, counted from the injection; 0 and 1
	// both mean the next.
	Nth int
	// Times is how many calls in a row fail; 0 and 1 both mean one, a negative
	// number all until the fault is cleared.
	Times int
	// Err is the error; default ErrInjected.
	Err error
	// ReplyLost performs the call and loses its answer; by default the call is
	// not made.
	ReplyLost bool
}

// Flaky is a Broker that fails on demand, and so do memberships joined through it.
type Flaky struct {
	Broker

	mu     sync.Mutex
	faults []*fault
}

// NewFlaky wraps a broker. The caller closes it.
func NewFlaky(b Broker) *Flaky { return &Flaky{Broker: b} }

// Inject arms a fault and returns what clears it. Of several faults of
// the same call the first injected wins.
func (f *Flaky) Inject(spec Fault) (clear func()) {
	armed := &fault{Fault: spec}
	if armed.Err == nil {
		armed.Err = ErrInjected
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, armed)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		armed.cleared = true
	}
}

// fault is a Fault and the calls it has seen.
type fault struct {
	Fault
	calls   int
	cleared bool
}

// count counts one call and reports whether the fault is that of this call.
func (f *fault) count(method string) bool {
	if f.cleared || f.Method != "" && f.Method != method {
		return false
	}
	f.calls++
	since := f.calls - max(f.Nth, 1)
	return since >= 0 && (f.Times < 0 || since < max(f.Times, 1))
}

// faultOf returns the fault of this call, if there is one.
func (f *Flaky) faultOf(method string) (found Fault, exists bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, armed := range f.faults {
		if armed.count(method) && !exists {
			found, exists = armed.Fault, true
		}
	}
	return found, exists
}

// try makes a call, or not, as the faults have it.
func try[T any](f *Flaky, method string, call func() (T, error)) (T, error) {
	fault, exists := f.faultOf(method)
	if !exists {
		return call()
	}
	var none T
	if fault.ReplyLost {
		if _, err := call(); err != nil {
			return none, err
		}
	}
	return none, fault.Err
}

// tryError is try for methods that return an error alone.
func (f *Flaky) tryError(method string, call func() error) error {
	_, err := try(f, method, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Publish implements [Broker].
func (f *Flaky) Publish(ctx context.Context, stream string, fields ...message.Field) (string, error) {
	return try(f, "Publish", func() (string, error) { return f.Broker.Publish(ctx, stream, fields...) })
}

// Ping implements engine.Broker.
func (f *Flaky) Ping(ctx context.Context) error {
	return f.tryError("Ping", func() error { return f.Broker.Ping(ctx) })
}

// Join implements [consumergroup.Broker].
func (f *Flaky) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	return try(f, "Join", func() (consumergroup.Membership, error) {
		s, err := f.Broker.Join(ctx, m)
		if err != nil {
			return nil, err
		}
		return &flakyMembership{flaky: f, membership: s}, nil
	})
}

type flakyMembership struct {
	flaky      *Flaky
	membership consumergroup.Membership
}

// Read reports nothing as acknowledged when its reply is lost: without a reply
// that is not known.
func (s *flakyMembership) Read(ctx context.Context, r consumergroup.Read) ([]message.Delivery, bool, error) {
	type reply struct {
		got   []message.Delivery
		acked bool
		err   error
	}
	answer, err := try(s.flaky, "Read", func() (reply, error) {
		got, acked, err := s.membership.Read(ctx, r)
		return reply{got, acked, err}, nil
	})
	if err != nil {
		return nil, false, err
	}
	return answer.got, answer.acked, answer.err
}

// page is what Pending and ClaimReleased return.
type page struct {
	got  []message.Delivery
	more bool
}

func (s *flakyMembership) Pending(ctx context.Context, l consumergroup.List) ([]message.Delivery, string, error) {
	type page struct {
		got  []message.Delivery
		next string
	}
	p, err := try(s.flaky, "Pending", func() (page, error) {
		got, next, err := s.membership.Pending(ctx, l)
		return page{got, next}, err
	})
	return p.got, p.next, err
}

// HasReleased never fails, as it promises.
func (s *flakyMembership) HasReleased() bool { return s.membership.HasReleased() }

func (s *flakyMembership) ClaimReleased(ctx context.Context, max int) ([]message.Delivery, bool, error) {
	p, err := try(s.flaky, "ClaimReleased", func() (page, error) {
		got, more, err := s.membership.ClaimReleased(ctx, max)
		return page{got, more}, err
	})
	return p.got, p.more, err
}

func (s *flakyMembership) Ack(ctx context.Context, ids []string) error {
	return s.flaky.tryError("Ack", func() error { return s.membership.Ack(ctx, ids) })
}

func (s *flakyMembership) Attempt(ctx context.Context, entries []consumergroup.Entry) ([]string, error) {
	return try(s.flaky, "Attempt", func() ([]string, error) { return s.membership.Attempt(ctx, entries) })
}

func (s *flakyMembership) Release(ctx context.Context, entries []consumergroup.Entry) ([]string, error) {
	return try(s.flaky, "Release", func() ([]string, error) { return s.membership.Release(ctx, entries) })
}

func (s *flakyMembership) DeadLetter(ctx context.Context, entries []deadletter.Entry) ([]string, error) {
	return try(s.flaky, "DeadLetter", func() ([]string, error) { return s.membership.DeadLetter(ctx, entries) })
}

func (s *flakyMembership) Renew(ctx context.Context, entries []consumergroup.Entry) ([]string, error) {
	return try(s.flaky, "Renew", func() ([]string, error) { return s.membership.Renew(ctx, entries) })
}

func (s *flakyMembership) Position(ctx context.Context) (message.EntryID, int, error) {
	type state struct {
		delivered message.EntryID
		pending   int
	}
	st, err := try(s.flaky, "Position", func() (state, error) {
		delivered, pending, err := s.membership.Position(ctx)
		return state{delivered, pending}, err
	})
	return st.delivered, st.pending, err
}

func (s *flakyMembership) Bodies(ctx context.Context, ids []string) ([]message.Delivery, error) {
	return try(s.flaky, "Bodies", func() ([]message.Delivery, error) { return s.membership.Bodies(ctx, ids) })
}

func (s *flakyMembership) Trim(ctx context.Context, r consumergroup.Retention) (consumergroup.Trimmed, error) {
	return try(s.flaky, "Trim", func() (consumergroup.Trimmed, error) { return s.membership.Trim(ctx, r) })
}

func (s *flakyMembership) Heartbeat(ctx context.Context) ([]consumergroup.Consumer, error) {
	return try(s.flaky, "Heartbeat", func() ([]consumergroup.Consumer, error) { return s.membership.Heartbeat(ctx) })
}

func (s *flakyMembership) TakeOver(ctx context.Context, from consumergroup.Consumer, idle time.Duration) ([]message.Delivery, error) {
	return try(s.flaky, "TakeOver", func() ([]message.Delivery, error) { return s.membership.TakeOver(ctx, from, idle) })
}

func (s *flakyMembership) Leave(ctx context.Context) error {
	return s.flaky.tryError("Leave", func() error { return s.membership.Leave(ctx) })
}
