package brokertest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/observatory-go/observatory/engine/broker"
	"github.com/observatory-go/observatory/engine/broker/brokertest"
	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limited is a broker that cannot wait and has no dead letters.
type limited struct{ *memorybroker.Broker }

func (l limited) Capabilities() broker.Capability { return broker.ConsumerGroups }

func (l limited) Join(ctx context.Context, m consumergroup.Member) (consumergroup.Membership, error) {
	s, err := l.Broker.Join(ctx, m)
	return limitedMembership{s}, err
}

type limitedMembership struct{ consumergroup.Membership }

func (s limitedMembership) Read(ctx context.Context, r consumergroup.Read) ([]message.Delivery, bool, error) {
	if r.Block > 0 {
		return nil, false, broker.ErrUnsupported
	}
	return s.Membership.Read(ctx, r)
}

func (s limitedMembership) DeadLetter(context.Context, []deadletter.Entry) ([]string, error) {
	return nil, broker.ErrUnsupported
}

// groupless is a broker that only takes entries.
type groupless struct{ *memorybroker.Broker }

func (groupless) Capabilities() broker.Capability { return 0 }

func (groupless) Join(context.Context, consumergroup.Member) (consumergroup.Membership, error) {
	return nil, broker.ErrUnsupported
}

func TestABrokerMayLackAbilitiesThatItDoesNotClaim(t *testing.T) {
	t.Run("cannot wait, no dead letters", func(t *testing.T) {
		brokertest.Run(t, func(*testing.T) brokertest.Broker { return limited{memorybroker.New()} })
	})
	t.Run("no groups", func(t *testing.T) {
		brokertest.Run(t, func(*testing.T) brokertest.Broker { return groupless{memorybroker.New()} })
	})
}

func TestAFlakyBrokerWithoutFaultsIsABroker(t *testing.T) {
	brokertest.Run(t, func(*testing.T) brokertest.Broker { return brokertest.NewFlaky(memorybroker.New()) })
}

func TestTheNthCallFailsAndTheNextDoesNot(t *testing.T) {
	f := brokertest.NewFlaky(memorybroker.New())
	f.Inject(brokertest.Fault{Method: "Ping", Nth: 2, Times: 2})
	var got []error
	for range 4 {
		got = append(got, f.Ping(t.Context()))
	}
	require.Equal(t, []error{nil, brokertest.ErrInjected, brokertest.ErrInjected, nil}, got)
}

func TestAFaultLastsUntilItIsCleared(t *testing.T) {
	f, down := brokertest.NewFlaky(memorybroker.New()), errors.New("server gone")
	clear := f.Inject(brokertest.Fault{Times: -1, Err: down})
	for range 3 {
		require.ErrorIs(t, f.Ping(t.Context()), down)
		_, err := f.Publish(t.Context(), "s", message.Field{Name: "data"})
		require.ErrorIs(t, err, down)
	}
	clear()
	require.NoError(t, f.Ping(t.Context()))
}

// Every method of a membership fails on demand, and is not performed.
func TestEveryMethodFailsOnDemand(t *testing.T) {
	f := brokertest.NewFlaky(memorybroker.New())
	s, id := membershipWithOne(t, f)
	entries := []consumergroup.Entry{{ID: id, Attempts: 1}}
	for method, call := range map[string]func(context.Context) error{
		"Join": func(ctx context.Context) error { _, err := f.Join(ctx, member); return err },
		"Read": func(ctx context.Context) error {
			_, acked, err := s.Read(ctx, consumergroup.Read{Max: 1, Acks: []string{id}})
			require.False(t, acked)
			return err
		},
		"Pending":       func(ctx context.Context) error { _, _, err := s.Pending(ctx, consumergroup.List{Max: 1}); return err },
		"ClaimReleased": func(ctx context.Context) error { _, _, err := s.ClaimReleased(ctx, 1); return err },
		"Heartbeat":     func(ctx context.Context) error { _, err := s.Heartbeat(ctx); return err },
		"TakeOver":      func(ctx context.Context) error { _, err := s.TakeOver(ctx, consumergroup.Consumer{}, 1); return err },
		"Leave":         func(ctx context.Context) error { return s.Leave(ctx) },
		"Renew":         func(ctx context.Context) error { _, err := s.Renew(ctx, entries); return err },
		"Position":      func(ctx context.Context) error { _, _, err := s.Position(ctx); return err },
		"Ack":           func(ctx context.Context) error { return s.Ack(ctx, []string{id}) },
		"Attempt":       func(ctx context.Context) error { _, err := s.Attempt(ctx, entries); return err },
		"Release":       func(ctx context.Context) error { _, err := s.Release(ctx, entries); return err },
		"DeadLetter": func(ctx context.Context) error {
			_, err := s.DeadLetter(ctx, []deadletter.Entry{{ID: id}})
			return err
		},
	} {
		f.Inject(brokertest.Fault{Method: method})
		require.ErrorIs(t, call(t.Context()), brokertest.ErrInjected, method)
	}
	pending, _, err := s.Pending(t.Context(), consumergroup.List{Max: 10})
	require.NoError(t, err)
	require.Len(t, pending, 1)
}

func TestALostReplyLeavesItsEntriesPending(t *testing.T) {
	f := brokertest.NewFlaky(memorybroker.New())
	s, err := f.Join(t.Context(), member)
	require.NoError(t, err)
	id, err := f.Publish(t.Context(), member.Stream, message.Field{Name: "data"})
	require.NoError(t, err)

	f.Inject(brokertest.Fault{Method: "Read", ReplyLost: true})
	got, acked, err := s.Read(t.Context(), consumergroup.Read{Max: 1, Block: time.Second})
	require.ErrorIs(t, err, brokertest.ErrInjected)
	require.False(t, acked)
	require.Empty(t, got)

	pending, _, err := s.Pending(t.Context(), consumergroup.List{Max: 10})
	require.NoError(t, err)
	require.Len(t, pending, 1)
	require.Equal(t, id, pending[0].ID)
}

var member = consumergroup.Member{Stream: "s", Group: "g", Consumer: "c"}

// membershipWithOne returns a membership that has one entry pending.
func membershipWithOne(t *testing.T, f *brokertest.Flaky) (consumergroup.Membership, string) {
	t.Helper()
	s, err := f.Join(t.Context(), member)
	require.NoError(t, err)
	id, err := f.Publish(t.Context(), member.Stream, message.Field{Name: "data"})
	require.NoError(t, err)
	_, _, err = s.Read(t.Context(), consumergroup.Read{Max: 1})
	require.NoError(t, err)
	return s, id
}
