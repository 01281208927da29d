package catchup_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/observatory-go/observatory/engine/eventstore/memorystore"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/catchup"
)

var cfg = subscription.Config{Handler: "h", Stream: "shop::order"}.WithDefaults()

func storeWith(t *testing.T) *memorystore.Store {
	t.Helper()
	s := memorystore.New()
	e, err := message.New(message.KindEvent, message.Headers{ID: "m1", Type: "T", Stream: "shop::order-1"}, []byte("{}"))
	require.NoError(t, err)
	_, err = s.Append(t.Context(), e)
	require.NoError(t, err)
	return s
}

func open(s catchup.Store) subscription.Source {
	return catchup.Over(s).Open(cfg, slog.New(slog.DiscardHandler))
}

func TestAnAttemptIsOnRecordBeforeItIsMade(t *testing.T) {
	s := storeWith(t)
	first := open(s)
	tasks, err := first.Next(t.Context(), 10)
	require.NoError(t, err)
	tasks[0].Attempts = 1 // the first call failed
	_, err = first.Attempt(t.Context(), tasks)
	require.NoError(t, err)
	s.Expire(cfg.Handler, cfg.Stream) // the second call ends the process
	again, err := open(s).Next(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 2, again[0].Attempts)
}

// Attempt before the first save, then a crash: the message must be in hand once.
func TestAFailedMessageAboveThePositionIsReadOnce(t *testing.T) {
	s := storeWith(t)
	first := open(s)
	tasks, err := first.Next(t.Context(), 10)
	require.NoError(t, err)
	tasks[0].Attempts = 1
	_, err = first.Attempt(t.Context(), tasks) // a retry within the first second
	require.NoError(t, err)

	s.Expire(cfg.Handler, cfg.Stream)
	second := open(s)
	a, err := second.Next(t.Context(), 10)
	require.NoError(t, err)
	b, err := second.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, a, 1)
	if len(b) > 0 {
		t.Errorf("position %d was handed out twice", b[0].Delivery.Position)
	}
	second.Done(a)
	require.NotPanics(t, func() { second.Done(b) })
}

// faulty is a store whose writes fail, before or after they are made.
type faulty struct {
	*memorystore.Store
	fail int
	lose bool
}

func (f *faulty) Own(ctx context.Context, subscription, category string) (catchup.Ownership, error) {
	owned, err := f.Store.Own(ctx, subscription, category)
	return faultyOwnership{owned, f}, err
}

type faultyOwnership struct {
	catchup.Ownership
	faulty *faulty
}

func (o faultyOwnership) Save(ctx context.Context, c catchup.Change) error {
	if o.faulty.fail > 0 {
		o.faulty.fail--
		return errors.New("connection reset")
	}
	err := o.Ownership.Save(ctx, c)
	if o.faulty.lose {
		return errors.New("reply lost")
	}
	return err
}

// A write whose reply was lost may have been made.
func TestALostReplyRepeatsNoHandledMessage(t *testing.T) {
	s := &faulty{Store: storeWith(t), lose: true}
	src := open(s)
	tasks, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	tasks[0].Attempts = 1
	_, err = src.Attempt(t.Context(), tasks)
	require.Error(t, err)
	s.lose = false
	src.Done(tasks)
	require.NoError(t, src.Close(t.Context()))
	again, err := open(s).Next(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, again, "handled, stopped in order, and handed out again by the next run")
}

func TestClosingTriesAgain(t *testing.T) {
	s := &faulty{Store: storeWith(t)}
	src := open(s)
	tasks, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	src.Done(tasks)
	s.fail = 1
	require.NoError(t, src.Close(t.Context()))
}

func TestAProcessStartsAgainAfterACrashWithinARetry(t *testing.T) {
	s := storeWith(t)
	first := open(s)
	tasks, err := first.Next(t.Context(), 10)
	require.NoError(t, err)
	tasks[0].Attempts = 1
	_, err = first.Attempt(t.Context(), tasks)
	require.NoError(t, err)
	s.Expire(cfg.Handler, cfg.Stream)
	c := cfg
	called := make(chan struct{}, 1)
	c.SkipChecksums, c.Retry.MaxAttempts = true, 5
	r, err := subscription.New(c, catchup.Over(s), func(context.Context, *message.Envelope) error {
		called <- struct{}{}
		return nil
	},
		subscription.Environment{Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, context.Background()) }()
	<-called
	stop()
	require.NoError(t, <-ended)
	state, err := s.LoadPosition(t.Context(), cfg.Handler, cfg.Stream)
	require.NoError(t, err)
	require.Empty(t, state.Failed)
}
