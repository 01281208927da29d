package subscription_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/observatory-go/observatory/engine/broker/memorybroker"
	"github.com/observatory-go/observatory/engine/message"
	"github.com/observatory-go/observatory/engine/subscription"
	"github.com/observatory-go/observatory/engine/subscription/consumergroup"
	"github.com/observatory-go/observatory/engine/testlog"
)

// lanes are a subscription and its backfill lane over a memory broker, in virtual
// time, with calls of a tenth of a second.
type lanes struct {
	t                 *testing.T
	broker            *memorybroker.Broker
	primary, backfill atomic.Int64 // calls that ended
}

const backfillStream = stream + ":backfill"

func inLanes(t *testing.T, test func(t *testing.T, l *lanes)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lanes{t: t, broker: memorybroker.New()}
		defer func() { require.NoError(t, l.broker.Close(context.Background())) }()
		test(t, l)
	})
}

func (l *lanes) publish(stream string, n int) {
	for i := range n {
		text := fmt.Sprintf(`{"data":{},"metadata":{"headers":{"id":"%s-%d","type":"T"}}}`, stream, i)
		_, err := l.broker.Publish(l.t.Context(), stream, message.Field{Name: message.DataField, Value: []byte(text)})
		require.NoError(l.t, err)
	}
}

// run starts both, and returns what stops them and how long that took.
func (l *lanes) run() (stop func() time.Duration) {
	var log testlog.Output
	runners := make([]*subscription.Runner, 2)
	for i, count := range []*atomic.Int64{&l.primary, &l.backfill} {
		c := config()
		c.SkipChecksums = true
		c.Stream = []string{stream, backfillStream}[i]
		var err error
		runners[i], err = subscription.New(c, consumergroup.Over(l.broker), func(context.Context, *message.Envelope) error {
			time.Sleep(100 * time.Millisecond)
			count.Add(1)
			return nil
		}, subscription.Environment{Logger: log.Logger()})
		require.NoError(l.t, err)
	}
	runners[1].YieldTo(runners[0])
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	for _, r := range runners {
		go func() { ended <- r.Run(ctx, context.Background()) }()
	}
	return func() time.Duration {
		began := time.Now()
		cancel()
		require.NoError(l.t, <-ended)
		require.NoError(l.t, <-ended)
		return time.Since(began)
	}
}

// L8 of the reference: there the backfill lane was read right after a message of the
// primary lane and at no other time, and held up the stop.
func TestABackfillLaneIsReadThoughNothingComesOnThePrimaryLane(t *testing.T) {
	inLanes(t, func(t *testing.T, l *lanes) {
		l.publish(backfillStream, 50)
		stop := l.run()
		time.Sleep(8 * time.Second)
		require.EqualValues(t, 50, l.backfill.Load())
		l.publish(backfillStream, 1)
		time.Sleep(time.Second)
		require.EqualValues(t, 51, l.backfill.Load())
		require.Less(t, stop(), 2*time.Second)
	})
}

func TestThePrimaryLaneComesFirstAndTheBackfillLaneDoesNotStarve(t *testing.T) {
	inLanes(t, func(t *testing.T, l *lanes) {
		l.publish(backfillStream, 100)
		l.publish(stream, 300)
		stop := l.run()
		time.Sleep(25 * time.Second)
		require.GreaterOrEqual(t, l.primary.Load(), int64(240), "it is not slower")
		require.GreaterOrEqual(t, l.backfill.Load(), int64(20), "one a second")
		require.LessOrEqual(t, l.backfill.Load(), int64(30))
		time.Sleep(20 * time.Second)
		require.EqualValues(t, 300, l.primary.Load())
		require.EqualValues(t, 100, l.backfill.Load())
		require.Less(t, stop(), 2*time.Second)
	})
}

func TestATrickleOnThePrimaryLaneLeavesTimeForTheBackfillLane(t *testing.T) {
	inLanes(t, func(t *testing.T, l *lanes) {
		l.publish(backfillStream, 200)
		stop := l.run()
		for range 60 {
			l.publish(stream, 1)
			time.Sleep(500 * time.Millisecond)
		}
		require.EqualValues(t, 60, l.primary.Load())
		require.EqualValues(t, 200, l.backfill.Load())
		require.Less(t, stop(), 2*time.Second)
	})
}

func TestAStopDoesNotWaitForABackfillLaneThatYields(t *testing.T) {
	inLanes(t, func(t *testing.T, l *lanes) {
		l.publish(stream, 1000)
		l.publish(backfillStream, 1000)
		stop := l.run()
		time.Sleep(10 * time.Second)
		require.Less(t, stop(), 2*time.Second)
	})
}
