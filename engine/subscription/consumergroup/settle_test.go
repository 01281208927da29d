package consumergroup_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/deadletter"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
)

// fake is a group with two entries, of which others may take one.
type fake struct {
	mu       sync.Mutex
	pending  map[string]bool
	read     bool
	renewErr error
	written  []string
}

func (f *fake) Join(context.Context, consumergroup.Member) (consumergroup.Membership, error) {
	return f, nil
}

func (f *fake) Read(_ context.Context, r consumergroup.Read) ([]message.Delivery, bool, error) {
	f.mu.Lock()
	seen := f.read
	f.read = true
	f.mu.Unlock()
	if seen {
		time.Sleep(max(r.Block, time.Millisecond))
		return nil, true, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var got []message.Delivery
	for _, id := range []string{"1-0", "2-0"} {
		f.pending[id] = true
		got = append(got, message.Delivery{Stream: "s", ID: id, Fields: []message.Field{{Name: "a", Value: []byte("b")}}})
	}
	return got, true, nil
}

func (f *fake) Pending(context.Context, consumergroup.List) ([]message.Delivery, string, error) {
	return nil, "", nil
}

func (f *fake) HasReleased() bool { return false }

func (f *fake) ClaimReleased(context.Context, int) ([]message.Delivery, bool, error) {
	return nil, false, nil
}

func (f *fake) Bodies(context.Context, []string) ([]message.Delivery, error) { return nil, nil }
func (f *fake) Ack(context.Context, []string) error                          { return nil }
func (f *fake) lost(ids []string) (lost []string) {
	for _, id := range ids {
		if !f.pending[id] {
			lost = append(lost, id)
		}
	}
	return lost
}

func ids(es []consumergroup.Entry) (ids []string) {
	for _, e := range es {
		ids = append(ids, e.ID)
	}
	return ids
}

func (f *fake) Attempt(_ context.Context, es []consumergroup.Entry) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost(ids(es)), nil
}

func (f *fake) Release(context.Context, []consumergroup.Entry) ([]string, error) { return nil, nil }
func (f *fake) DeadLetter(_ context.Context, es []deadletter.Entry) (lost []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range es {
		if !f.pending[e.ID] {
			lost = append(lost, e.ID)
			continue
		}
		f.written = append(f.written, e.ID)
		delete(f.pending, e.ID)
	}
	return lost, nil
}

func (f *fake) Renew(_ context.Context, es []consumergroup.Entry) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.renewErr; err != nil {
		f.renewErr = nil
		return nil, err
	}
	return f.lost(ids(es)), nil
}

func (f *fake) Trim(context.Context, consumergroup.Retention) (consumergroup.Trimmed, error) {
	return consumergroup.Trimmed{}, nil
}

func (f *fake) Heartbeat(context.Context) ([]consumergroup.Consumer, error) { return nil, nil }

func (f *fake) TakeOver(context.Context, consumergroup.Consumer, time.Duration) ([]message.Delivery, error) {
	return nil, nil
}

func (f *fake) Leave(context.Context) error { return nil }

func (f *fake) Position(context.Context) (message.EntryID, int, error) {
	return message.EntryID{}, 0, nil
}

func begin(t *testing.T, f *fake) (subscription.Source, []*subscription.Task) {
	t.Helper()
	src := consumergroup.Over(f).Open(subscription.Config{
		Handler: "h", Stream: "s", ClaimIdle: time.Second, DeadLetters: true,
	}.WithDefaults(), slog.New(slog.DiscardHandler))
	tasks, err := src.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, tasks, 2)
	for _, task := range tasks {
		task.Err = errors.New("broken")
	}
	return src, tasks
}

// One of the batch is another's; the renewal that asks for it times out once.
func TestGivingUpAgainAfterAFailedRenewalEnds(t *testing.T) {
	f := &fake{pending: map[string]bool{}}
	src, tasks := begin(t, f)
	delete(f.pending, "1-0") // another consumer claimed it
	f.renewErr = errors.New("i/o timeout")
	_, err := src.GiveUp(t.Context(), tasks)
	require.Error(t, err)
	require.Equal(t, []string{"2-0"}, f.written)
	lost, err := src.GiveUp(t.Context(), tasks)
	require.NoError(t, err)
	require.Equal(t, tasks[:1], lost)
	require.Equal(t, []string{"2-0"}, f.written)
}

// loseFirst has another consumer take the first entry, and returns once the
// periodic renewal has found that out.
func loseFirst(t *testing.T, f *fake, src subscription.Source) {
	t.Helper()
	lost := make(chan []*subscription.Task)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { src.Upkeep(ctx, lost) })
	f.mu.Lock()
	delete(f.pending, "1-0")
	f.mu.Unlock()
	require.Len(t, <-lost, 1)
	stop()
	wg.Wait()
}

// The entry leaves the table while its batch is on its way to the dead-letter
// queue.
func TestGivingUpWhatARenewalFoundLost(t *testing.T) {
	f := &fake{pending: map[string]bool{}}
	src, tasks := begin(t, f)
	loseFirst(t, f, src)
	gone, err := src.GiveUp(t.Context(), tasks)
	require.NoError(t, err)
	require.Equal(t, tasks[:1], gone)
	require.Equal(t, []string{"2-0"}, f.written)
}

func TestAnAttemptOfWhatARenewalFoundLost(t *testing.T) {
	f := &fake{pending: map[string]bool{}}
	src, tasks := begin(t, f)
	loseFirst(t, f, src)
	gone, err := src.Attempt(t.Context(), tasks)
	require.NoError(t, err)
	require.Equal(t, tasks[:1], gone)
}
